// Shows the OpenAPI document beside this page, and tries its operations. Nothing comes from another host, and whatever
// the hub answers is shown as text.
"use strict";

const $ = (id) => document.getElementById(id);
const METHODS = ["get", "post", "put", "delete"];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function load() {
  const answer = await fetch("rest/openapi.json");
  if (!answer.ok) throw new Error(`the document cannot be read: ${answer.status}`);
  show(await answer.json());
}

function show(api) {
  $("version").textContent = api.info.version;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const method of METHODS)
      if (methods[method]) {
        const tag = methods[method].tags[0];
        groups.set(tag, [...(groups.get(tag) ?? []), [method, path, methods[method]]]);
      }
  $("operations").replaceChildren();
  for (const [tag, operations] of groups) {
    $("tags").append(element("li", {}, element("a", { href: `#${tag.replace(" ", "-")}`, textContent: tag })));
    const section = element("section", { id: tag.replace(" ", "-") }, element("h2", { textContent: tag }));
    section.append(...operations.map(([method, path, operation]) => card(api, method, path, operation)));
    $("operations").append(section);
  }
  const asked = location.hash && document.getElementById(location.hash.slice(1));
  if (asked) {
    asked.open = true;
    asked.scrollIntoView();
  }
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
  if (operation.parameters) {
    const rows = operation.parameters.map((parameter) => {
      const input = element("input", { placeholder: parameter.schema.default ?? "", ariaLabel: parameter.name });
      inputs.set(parameter, input);
      return element("tr", {},
        element("th", { textContent: parameter.name }),
        element("td", { textContent: `${parameter.in}, ${type(api, parameter.schema)}` }),
        element("td", {}, input));
    });
    box.append(element("h3", { textContent: "Parameters" }), element("table", {}, ...rows));
  }
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
  if (found.enum) return found.enum.join(" | ");
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
  const lines = Object.entries(found.properties).map(([name, one]) => `${inner}"${name}": ${shape(api, one, inner)}`);
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
  const headers = { ...credentials(), "Hub-Version": "1" };
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
  $("name").hidden = !["basic", "device"].includes($("scheme").value);
  $("secret").hidden = $("scheme").value === "none";
});
$("who").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", () => {
  const wanted = $("filter").value.toLowerCase().split(" ");
  for (const details of document.querySelectorAll("details"))
    details.hidden = !wanted.every((word) => details.dataset.words.includes(word));
  for (const section of document.querySelectorAll("section"))
    section.hidden = !section.querySelector("details:not([hidden])");
});

load().catch((error) => $("state") ? ($("state").textContent = error.message) : console.error(error));
