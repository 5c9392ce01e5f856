// The documentation's frame: credentials, the three views, and in the first of them the OpenAPI document, whose operations
// it tries. Nothing comes from another host, whatever the hub answers is shown as text, and credentials stay in this page.
"use strict";

const $ = (id) => document.getElementById(id);
const METHODS = ["get", "post", "put", "delete"];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function read(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} cannot be read: ${answer.status}`);
  return answer.json();
}

// --- views: which of the documents is shown; each has groups, which the navigation lists

const VIEWS = {
  rest: { box: "operations", link: ["rest/openapi.json", "OpenAPI document"] },
  websocket: { box: "sockets", link: ["websocket/asyncapi.json", "AsyncAPI document"] },
  errors: { box: "problems", link: ["docs/errors.json", "Errors as JSON"] },
};

function slug(text) {
  return text.replaceAll(/[ /]/g, "-");
}

function group(name, title, ...children) {
  return element("section", { id: slug(name) }, element("h2", { textContent: title ?? name }), ...children);
}

// The place that the address names; one that is cut off within a letter names none.
function asked() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function viewOf(hash) {
  if (Object.hasOwn(VIEWS, hash)) return hash;
  const box = document.getElementById(hash)?.closest(".view");
  return Object.keys(VIEWS).find((name) => VIEWS[name].box === box?.id) ?? "rest";
}

function turn() {
  const hash = asked();
  const view = viewOf(hash);
  for (const [name, { box, link }] of Object.entries(VIEWS)) {
    $(box).hidden = name !== view;
    document.querySelector(`#views a[href="#${name}"]`).ariaCurrent = name === view ? "page" : null;
    if (name === view) $("documents").replaceChildren(element("a", { href: link[0], textContent: link[1] }));
  }
  $("tags").replaceChildren(...[...$(VIEWS[view].box).querySelectorAll(":scope > section")].map((section) =>
    element("li", {}, element("a", { href: `#${section.id}`, textContent: section.querySelector("h2").textContent }))));
  sift();
  const place = !Object.hasOwn(VIEWS, hash) && document.getElementById(hash);
  if (!place) return;
  if (place.tagName === "DETAILS") place.open = true;
  place.scrollIntoView();
}

function sift() {
  const wanted = $("filter").value.toLowerCase().split(" ");
  for (const one of document.querySelectorAll("[data-words]"))
    one.hidden = !wanted.every((word) => one.dataset.words.includes(word));
  for (const section of document.querySelectorAll("section:has([data-words])"))
    section.hidden = !section.querySelector("[data-words]:not([hidden])");
}

// --- REST

function show(api) {
  $("version").textContent = api.info.version;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const method of METHODS)
      if (methods[method]) {
        const tag = methods[method].tags[0];
        groups.set(tag, [...(groups.get(tag) ?? []), [method, path, methods[method]]]);
      }
  $("operations").replaceChildren(...[...groups].map(([tag, operations]) =>
    group(tag, tag, ...operations.map(([method, path, operation]) => card(api, method, path, operation)))));
}

function card(api, method, path, operation) {
  const details = element("details", { id: operation.operationId });
  details.dataset.words = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  details.append(element("summary", {},
    element("b", { className: method, textContent: method.toUpperCase() }),
    element("code", { textContent: path }),
    element("span", { textContent: operation.summary })));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(about(api, method, path, operation));
  });
  return details;
}

function about(api, method, path, operation) {
  const inputs = new Map();
  const box = element("div", { className: "about" }, element("p", { textContent: operation.description }));
  const everywhere = api.paths[path].parameters;
  const rows = [...(operation.parameters ?? []), ...everywhere].map((parameter) => {
    const input = element("input", { placeholder: parameter.schema.default ?? "", ariaLabel: parameter.name });
    if (everywhere.includes(parameter)) input.value = parameter.schema.enum[0];
    inputs.set(parameter, input);
    return element("tr", { title: parameter.description ?? "" },
      element("th", { textContent: parameter.name }),
      element("td", { textContent: `${parameter.in}, ${type(api, parameter.schema)}` }),
      element("td", {}, input));
  });
  box.append(element("h3", { textContent: "Parameters" }), element("table", {}, ...rows));
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  let body = null;
  if (content) {
    const [media, { schema }] = content;
    body = element("textarea", { spellcheck: false, ariaLabel: "Body", value: media === "application/json" ? sample(api, schema) : "" });
    body.dataset.media = media;
    box.append(element("h3", { textContent: `Body, ${media}` }), body);
  }
  const result = element("div");
  const button = element("button", { type: "button", textContent: "Send" });
  button.addEventListener("click", () => send(method, path, inputs, body, result));
  box.append(element("p", {}, button), result, element("h3", { textContent: "Answers" }), answers(api, operation.responses));
  return box;
}

function answers(api, responses) {
  return element("table", {}, ...Object.entries(responses).map(([status, response]) => {
    const schema = Object.values(response.content ?? {})[0]?.schema;
    const cell = element("td", { textContent: response.description });
    if (schema && status < "300") cell.append(element("pre", { textContent: shape(api, schema, "") }));
    return element("tr", {}, element("th", { className: status < "300" ? "good" : "", textContent: status }), cell);
  }));
}

function resolve(api, schema) {
  return schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function type(api, schema) {
  const found = resolve(api, schema);
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map(String).join(" | ");
  if (found.anyOf) return found.anyOf.map((one) => type(api, one)).join(" | ");
  if (found.items) return `[${type(api, found.items)}]`;
  const named = [found.type ?? "any JSON"].flat().join(" | ");
  return found.format ? `${named} (${found.format})` : named;
}

function shape(api, schema, indent) {
  const found = resolve(api, schema);
  if (found.type === "array") return `[${shape(api, found.items, indent)}]`;
  if (found.anyOf) return found.anyOf.map((one) => shape(api, one, indent)).join(" | ");
  if (!found.properties) return type(api, found);
  const inner = `${indent}  `;
  const may = (name) => (found.additionalProperties === false && !found.required.includes(name) ? "?" : "");
  const lines = Object.entries(found.properties).map(
    ([name, one]) => `${inner}"${name}"${may(name)}: ${shape(api, one, inner)}`);
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

function sample(api, schema) {
  const properties = Object.entries(resolve(api, schema).properties ?? {});
  const required = new Set(schema.required ?? []);
  const shown = properties.filter(([name]) => required.size === 0 || required.has(name)).slice(0, 8);
  return JSON.stringify(Object.fromEntries(shown.map(([name, one]) => [name, example(one)])), null, 2);
}

function example(schema) {
  const named = [schema.type].flat();
  if (named.includes("string")) return schema.examples?.[0] ?? "";
  if (named.includes("boolean")) return false;
  if (named.includes("integer")) return 0;
  return named.includes("array") ? [] : {};
}

function credentials() {
  const [scheme, name, secret] = ["scheme", "name", "secret"].map((id) => $(id).value);
  if (scheme === "key") return { Authorization: `Bearer ${secret}` };
  if (scheme === "device") return { "Auth-DeviceID": name, "Auth-DeviceKey": secret };
  if (scheme !== "basic") return {};
  const bytes = new TextEncoder().encode(`${name}:${secret}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

async function send(method, path, inputs, body, result) {
  const query = new URLSearchParams();
  const headers = credentials();
  for (const [parameter, { value }] of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.set(parameter.name, value);
    else if (value !== "") headers[parameter.name] = value;
  }
  if (body?.value) headers["Content-Type"] = body.dataset.media;
  const url = `rest${path}${query.size ? `?${query}` : ""}`;
  result.replaceChildren(element("p", { textContent: "Sent, waiting for the answer" }));
  try {
    const began = performance.now();
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value || undefined, credentials: "omit" });
    if (answer.headers.get("content-type") === "text/event-stream") return await follow(answer, result);
    const text = await answer.text();
    const took = `${answer.status} ${answer.statusText} after ${Math.round(performance.now() - began)} ms`;
    result.replaceChildren(
      element("p", { className: answer.ok ? "good" : "bad", textContent: took }),
      element("pre", { textContent: pretty(text) || "no body" }));
  } catch (error) {
    result.replaceChildren(element("p", { className: "bad", textContent: `No answer: ${error.message}` }));
  }
}

async function follow(answer, result) {
  const reader = answer.body.getReader();
  const stop = element("button", { type: "button", textContent: "Stop" });
  stop.addEventListener("click", () => reader.cancel());
  const shown = element("pre");
  const state = element("p", { className: "good", textContent: `${answer.status}, events follow` });
  result.replaceChildren(state, element("p", {}, stop), shown);
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    shown.textContent = (shown.textContent + decoder.decode(value, { stream: true })).slice(-20000);
  }
  stop.remove();
  state.textContent = "The stream has ended";
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

$("scheme").addEventListener("change", () => {
  const scheme = $("scheme").value;
  $("name").hidden = !["basic", "device"].includes(scheme);
  $("name").placeholder = scheme === "device" ? "guid" : "login";
  $("secret").hidden = scheme === "none";
  $("secret").placeholder = scheme === "basic" ? "password" : "key";
});
$("who").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", sift);
addEventListener("hashchange", turn);

async function load() {
  const [rest, sockets, problems] = await Promise.all(Object.values(VIEWS).map(({ link }) => read(link[0])));
  show(rest);
  showSockets(sockets);
  showErrors(problems);
  turn();
}

addEventListener("DOMContentLoaded", () => {
  load().catch((error) => ($("state") ? ($("state").textContent = error.message) : console.error(error)));
});
