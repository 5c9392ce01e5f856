// The WebSocket API: a console that tries its actions, and what each of them takes and answers. All of it comes from the
// AsyncAPI document. Credentials are read from the page when a connection begins, and are shown in no frame.
"use strict";

const SHOWN_FRAMES = 300;
const SECRETS = new Set(["accessKey", "password", "deviceKey"]);
const EXTENDED = "hub.1.json";

const consoleState = { api: null, socket: null, requests: 0 };

function showSockets(api) {
  consoleState.api = api;
  const operations = Object.entries(api.operations).filter(([, one]) => one.channel.$ref.endsWith("/ordinary"));
  const more = Object.entries(api.operations).filter(([id, one]) =>
    one.action === "send" && one.channel.$ref.endsWith("/extended") && !api.operations[id.replace(/Extended$/, "")]);
  const asked = operations.filter(([, one]) => one.action === "receive");
  const told = [...operations.filter(([, one]) => one.action === "send"), ...more];
  $("sockets").replaceChildren(
    group("console", "Console", socketConsole(asked)),
    group("actions", "Actions", ...asked.map(([id, one]) => actionCard(api, id, one))),
    group("pushes", "Pushes", ...told.map(([id, one]) => pushCard(api, id, one))));
}

// --- the console

function socketConsole(operations) {
  const mode = element("select", { id: "mode" },
    element("option", { value: "", textContent: "ordinary" }),
    element("option", { value: EXTENDED, textContent: "extended" }));
  const open = element("button", { type: "button", id: "open", textContent: "Connect" });
  const told = element("span", { id: "connection", className: "dot", role: "status", textContent: "not connected" });
  const action = element("select", { id: "action" },
    ...operations.map(([id, one]) => element("option", { value: id, textContent: one.title })));
  const about = element("p", { id: "action-about", className: "soft" });
  const request = element("textarea", { id: "request", spellcheck: false, ariaLabel: "Request" });
  const send = element("button", { type: "button", id: "send", textContent: "Send", disabled: true });
  const clear = element("button", { type: "button", id: "clear", className: "quiet", textContent: "Clear" });
  const frames = element("ol", { id: "frames", ariaLabel: "Frames" });
  action.addEventListener("change", () => fillIn(action.value));
  open.addEventListener("click", () => (consoleState.socket ? consoleState.socket.close() : connect(mode.value)));
  send.addEventListener("click", sendRequest);
  clear.addEventListener("click", () => frames.replaceChildren());
  request.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !send.disabled) sendRequest();
  });
  queueMicrotask(() => fillIn(action.value));
  return element("div", { className: "console" },
    element("div", { className: "bar" }, element("label", {}, "Mode ", mode), open, told),
    element("div", { className: "bar" }, element("label", {}, "Action ", action), about),
    request,
    element("div", { className: "bar" }, send, element("span", { className: "soft", textContent: "or Ctrl+Enter" }), clear),
    frames);
}

function fillIn(id) {
  const operation = consoleState.api.operations[id];
  const message = messageOf(consoleState.api, operation.messages[0]);
  const { requestId, ...members } = message.examples[0].payload;
  $("request").value = JSON.stringify(members, null, 2);
  $("action-about").textContent = `${operation.summary}. ${operation.description}`;
}

function connect(mode) {
  const server = Object.values(consoleState.api.servers)[0];
  const endpoint = $("scheme").value === "device" ? "device" : "client";
  const base = location.pathname.replace(/\/docs\/?$/, "");
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${base}/websocket/${endpoint}`;
  const socket = mode ? new WebSocket(url, [mode]) : new WebSocket(url);
  consoleState.socket = socket;
  state("connecting", "wait");
  $("open").textContent = "Disconnect";
  socket.addEventListener("open", () => {
    state(`connected to ${server.pathname}/${endpoint}${mode ? `, ${mode}` : ""}`, "good");
    $("send").disabled = false;
    const credentials = inBand();
    if (credentials) transmit({ action: "authenticate", ...credentials });
  });
  socket.addEventListener("message", ({ data }) => frame("in", data));
  socket.addEventListener("close", ({ code, reason }) => {
    consoleState.socket = null;
    $("send").disabled = true;
    $("open").textContent = "Connect";
    state(`closed with ${code}${reason ? `: ${reason}` : ""}`, code === 1000 || code === 1005 ? "" : "bad");
  });
}

function state(text, kind) {
  $("connection").textContent = text;
  $("connection").className = `dot ${kind}`;
}

function inBand() {
  const [scheme, name, secret] = ["scheme", "name", "secret"].map((id) => $(id).value);
  if (scheme === "key") return { accessKey: secret };
  if (scheme === "device") return { deviceId: name, deviceKey: secret };
  return scheme === "basic" ? { login: name, password: secret } : null;
}

function sendRequest() {
  let members;
  try {
    members = JSON.parse($("request").value);
  } catch (error) {
    frame("note", `This is no JSON, nothing was sent: ${error.message}`);
    return;
  }
  transmit(members);
}

function transmit(members) {
  const request = { requestId: ++consoleState.requests, ...members };
  consoleState.socket.send(JSON.stringify(request));
  frame("out", JSON.stringify(request, (name, value) => (SECRETS.has(name) ? "…" : value)));
}

function frame(way, text) {
  const words = { in: "received", out: "sent", note: "note" };
  const at = new Date();
  const time = `${at.toLocaleTimeString("en-GB")}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  const code = way === "in" ? refusal(text) : null;
  const line = element("li", { className: `${way}${code ? " bad" : ""}` },
    element("time", { textContent: time }),
    element("b", { textContent: { in: "←", out: "→", note: "!" }[way], ariaLabel: words[way] }),
    element("pre", { textContent: way === "note" ? text : compact(text) }));
  if (code) line.append(element("a", { href: `#errors-${code}`, textContent: "What to do" }));
  const frames = $("frames");
  const atEnd = frames.scrollHeight - frames.scrollTop - frames.clientHeight < 30;
  frames.append(line);
  while (frames.children.length > SHOWN_FRAMES) frames.firstChild.remove();
  if (atEnd) frames.scrollTop = frames.scrollHeight;
}

// The code of an answer that refuses; a device may tell of errors of its own.
function refusal(text) {
  const { status, code } = JSON.parse(text);
  return status === "error" ? code : null;
}

function compact(text) {
  return text.length <= 90 ? text : pretty(text);
}

// --- the reference

function messageOf(api, { $ref }) {
  const [, , channel, , name] = $ref.split("/");
  return api.components.messages[api.channels[channel].messages[name].$ref.split("/").pop()];
}

function actionCard(api, id, operation) {
  return foldable(id, operation, "ask", () => {
    const request = messageOf(api, operation.messages[0]).payload;
    const extended = api.operations[`${id}Extended`];
    const answer = (one) => shape(api, messageOf(api, one.reply.messages[0]).payload, "");
    const both = [answer(operation), answer(extended)];
    const tryIt = element("button", { type: "button", textContent: "To the console" });
    tryIt.addEventListener("click", () => {
      $("action").value = id;
      fillIn(id);
      location.hash = "#console";
    });
    return [
      element("p", { textContent: operation.description }),
      element("h3", { textContent: "Members" }), members(api, request),
      element("p", {}, tryIt),
      element("h3", { textContent: both[0] === both[1] ? "Answer" : "Answer in ordinary mode" }),
      element("pre", { textContent: both[0] }),
      ...(both[0] === both[1] ? [] : [
        element("h3", { textContent: "Answer in extended mode" }), element("pre", { textContent: both[1] })]),
    ];
  });
}

function members(api, request) {
  const required = new Set(request.required);
  const rows = Object.entries(request.properties).filter(([name]) => name !== "action").map(([name, one]) => {
    const cell = element("td", {});
    if (one.properties) cell.append(element("pre", { textContent: shape(api, one, "") }));
    else cell.append(type(api, one), one["x-also"] ? element("span", { className: "soft", textContent:
      `; ${one["x-also"].join(", ")} too` }) : "");
    return element("tr", {}, element("th", { textContent: name }),
      element("td", { textContent: required.has(name) ? "required" : "" }), cell);
  });
  return element("table", {}, ...rows);
}

function pushCard(api, id, operation) {
  return foldable(id, operation, "tell", () => {
    const message = (one) => shape(api, messageOf(api, one.messages[0]).payload, "");
    const other = api.operations[`${id}Extended`];
    const differs = other && message(other) !== message(operation);
    return [element("pre", { textContent: message(operation) }),
      ...(differs ? [element("h3", { textContent: "In extended mode" }), element("pre", { textContent: message(other) })] : [])];
  });
}

function foldable(id, operation, kind, fill) {
  const details = element("details", { id: `socket-${id}` });
  details.dataset.words = `${operation.title} ${operation.summary}`.toLowerCase();
  details.append(element("summary", {},
    element("b", { className: kind === "ask" ? "post" : "get", textContent: kind === "ask" ? "ASK" : "PUSH" }),
    element("code", { textContent: operation.title }),
    element("span", { textContent: operation.summary })));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1)
      details.append(element("div", { className: "about" }, ...fill()));
  });
  return details;
}
