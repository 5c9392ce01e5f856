// Asks a person whether an application may act for them. Nothing here is remembered: the login is for a session key that
// lives in this page's memory only and ends with it, so there is no cookie that another page could make use of.
"use strict";

const $ = (id) => document.getElementById(id);

const WORDS = {
  GetNetwork: "see your networks",
  GetDevice: "see your devices",
  GetDeviceState: "see the state of your devices' equipment",
  GetDeviceNotification: "read what your devices report",
  GetDeviceCommand: "read the commands to your devices",
  RegisterDevice: "add, change and delete devices",
  CreateDeviceNotification: "report in the name of your devices",
  CreateDeviceCommand: "send commands to your devices",
  UpdateDeviceCommand: "answer commands in the name of your devices",
  GetCurrentUser: "see your account",
  UpdateCurrentUser: "change your account",
  ManageAccessKey: "see and make access keys of yours",
  ManageOAuthGrant: "let other applications act for you",
  ManageUser: "manage all users",
  ManageDeviceClass: "manage classes of devices",
  ManageNetwork: "manage all networks",
  ManageOAuthClient: "manage the applications that may ask like this one",
};
const STRONG = new Set(["RegisterDevice", "CreateDeviceCommand", "UpdateCurrentUser", "ManageAccessKey", "ManageOAuthGrant"]);
const FOR_ADMINISTRATORS = new Set(["ManageUser", "ManageDeviceClass", "ManageNetwork", "ManageOAuthClient"]);
const NETWORKS = 100;
const GRANTS = "/user/current/oauth/grant";
const GRANTS_SHOWN = 200;
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

class Refusal extends Error {}

// What the application asks for, once it is known to be sound, and who answers.
const asked = { client: null, redirectUri: "", target: null, type: "", accessType: "", scope: [], state: null, challenge: null };
const person = { key: null, user: null };

// Opened without a question of an application's, the page shows what a person has let applications do.
const manages = location.search === "";

// --- the hub -----------------------------------------------------------------------------------------------------------

async function ask(method, path, body) {
  const headers = person.key ? { Authorization: `Bearer ${person.key}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`rest${path}`, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "omit", cache: "no-store",
    });
  } catch {
    throw new Refusal("The hub does not answer. Check your connection and try again.");
  }
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  throw Object.assign(new Refusal(told(answer, text)), { status: answer.status });
}

function told(answer, text) {
  if (answer.status === 429 || answer.status === 503) {
    const wait = Number(answer.headers.get("Retry-After"));
    return `The hub is busy. Try again ${wait ? `in ${wait} seconds` : "in a moment"}.`;
  }
  try {
    return JSON.parse(text).message;
  } catch {
    return `The hub has answered ${answer.status}.`;
  }
}

// --- what is asked for -------------------------------------------------------------------------------------------------

async function read() {
  const query = new URLSearchParams(location.search);
  for (const name of new Set(query.keys()))
    if (query.getAll(name).length > 1) throw new Refusal(`The application has sent ${name} twice.`);
  const id = query.get("client_id");
  if (!id) throw new Refusal("The application has not said who it is (client_id).");
  const found = await ask("GET", `/oauth/client?${new URLSearchParams({ oauthId: id })}`);
  if (!found.length) throw new Refusal(`This hub knows no application called “${id}”.`);
  asked.client = found[0];
  // Only now may anybody be sent anywhere: to the address that an administrator has registered, and to no other.
  asked.target = destination(query.get("redirect_uri"), asked.client.redirectUri);
  asked.redirectUri = query.get("redirect_uri") || asked.client.redirectUri;
  asked.state = query.get("state");
  asked.type = word(query, "response_type", ["code", "token"]);
  asked.challenge = query.get("code_challenge");
  // A challenge that is the secret itself (plain, which is meant where nothing is said) would protect nobody.
  if (asked.challenge && query.get("code_challenge_method") !== "S256")
    throw refusal("invalid_request", "The application has to say S256 as code_challenge_method.");
  asked.accessType = word(query, "access_type", ["online", "offline"], "online");
  asked.scope = (query.get("scope") ?? "").split(" ").filter(Boolean);
  if (!asked.scope.length) throw refusal("invalid_scope", "The application has not said what it wants to do (scope).");
  const unknown = asked.scope.find((action) => !Object.hasOwn(WORDS, action));
  if (unknown) throw refusal("invalid_scope", `The application wants to do something that this hub does not know: ${unknown}.`);
}

function word(query, name, known, otherwise) {
  const value = query.get(name) ?? otherwise;
  if (known.includes(value)) return value[0].toUpperCase() + value.slice(1);
  throw refusal(name === "response_type" ? "unsupported_response_type" : "invalid_request",
    `The application has to say ${known.join(" or ")} as ${name}.`);
}

// A refusal that the application hears of, too, when the person goes back.
function refusal(code, text) {
  return Object.assign(new Refusal(text), { code });
}

function destination(wanted, registered) {
  const known = addresses(registered);
  const exact = known.find((url) => !wanted || wanted === registered || parsed(wanted)?.href === url.href);
  if (!exact)
    throw new Refusal("The application wants you to be sent to an address that is not registered for it. You have not been sent there.");
  return exact;
}

// An address may be registered without its beginning: it is meant with https then, on this computer with http as well.
function addresses(registered) {
  const whole = /^[a-z][a-z0-9+.-]*:\//i.test(registered);
  const urls = (whole ? [registered] : [`https://${registered}`, `http://${registered}`]).map(parsed).filter(Boolean);
  return urls.filter((url) => isSafe(url) && (whole || url.protocol === "https:" || LOOPBACK.includes(url.hostname)));
}

function parsed(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

// Pages, and applications on a telephone, whose schemes have a dot. Nothing that would run in this page.
function isSafe(url) {
  const known = ["http:", "https:"].includes(url.protocol) || url.protocol.includes(".");
  return known && !url.username && !url.password && !url.hash;
}

// --- what is shown -----------------------------------------------------------------------------------------------------

function show(part, title, about = "") {
  for (const id of ["login", "consent", "granted", "leave"]) $(id).hidden = id !== part;
  $("title").textContent = document.title = title;
  $("about").textContent = about;
  complain("");
}

function complain(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

function showLogin() {
  if (manages) show("login", "Your applications", "Log in to see which may act for you.");
  else show("login", `${asked.client.name} asks for access`, "Log in to see what it wants.");
  $("badge").textContent = manages ? "\u2713" : asked.client.name[0].toUpperCase();
  $("cancel").hidden = manages;
  $("password").value = "";
  $("name").focus();
}

function showConsent(networks) {
  show("consent", `Allow ${asked.client.name} to act for you?`, `${asked.client.oauthId}, registered for ${asked.client.domain}`);
  $("who").textContent = person.user.login;
  $("actions").replaceChildren(...[...new Set(asked.scope)].map(line));
  $("where").hidden = networks.length < 2;
  $("networks").replaceChildren(...networks.slice(0, NETWORKS).map(choice));
  $("more").hidden = networks.length <= NETWORKS;
  $("term").textContent = asked.accessType === "Offline" ? "until you take it back" : "10 minutes";
  $("place").textContent = `by its programs, and on pages of ${asked.client.domain}${asked.client.subnet ? `; from ${asked.client.subnet} only` : ""}`;
  $("back").textContent = asked.target.host || asked.target.protocol.slice(0, -1);
  $("title").focus();
}

function line(action) {
  const isVoid = FOR_ADMINISTRATORS.has(action) && person.user.role !== 0;
  const item = document.createElement("li");
  item.textContent = WORDS[action];
  item.className = isVoid ? "void" : STRONG.has(action) || FOR_ADMINISTRATORS.has(action) ? "strong" : "";
  if (isVoid) item.append(Object.assign(document.createElement("small"), { textContent: "without effect: you are no administrator" }));
  return item;
}

function choice(network) {
  const label = document.createElement("label");
  label.append(Object.assign(document.createElement("input"), { type: "checkbox", value: network.id }), network.name);
  const item = document.createElement("li");
  item.append(label);
  return item;
}

function showGrants(grants) {
  const left = grants.filter(({ accessKey: { expirationDate: end } }) => end === null || Date.parse(`${end}Z`) > Date.now());
  show("granted", "Your applications", left.length ? "They may act for you until you take it back." : "None may act for you.");
  $("everybodys").hidden = person.user.role !== 0;
  $("grants").replaceChildren(...left.map(granted));
  $("title").focus();
}

function granted(grant) {
  const about = document.createElement("div");
  const words = grant.scope.split(" ").map((action) => WORDS[action] ?? action).join(", ");
  const end = grant.accessKey.expirationDate;
  const time = `since ${localTime(grant.timestamp)}${end ? `, until ${localTime(end)}` : ""}`;
  for (const textContent of [words, time]) about.append(Object.assign(document.createElement("small"), { textContent }));
  about.prepend(Object.assign(document.createElement("b"), { textContent: grant.client.name }));
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Take back" });
  button.addEventListener("click", () => attempt(async () => {
    await ask("DELETE", `${GRANTS}/${grant.id}`);
    await listGrants();
  }));
  const item = document.createElement("li");
  item.append(about, button);
  return item;
}

function localTime(text) {
  return new Date(`${text}Z`).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function showRefusal(error) {
  show(error.code && asked.target ? "leave" : "", "This does not work");
  $("badge").textContent = "!";
  $("badge").className = "bad";
  complain(error instanceof Refusal ? error.message : "Something unexpected has happened. Try again.");
  $("return").onclick = () => leave({ error: error.code });
}

// --- what is done ------------------------------------------------------------------------------------------------------

async function logIn() {
  const login = $("name").value;
  try {
    person.key = (await ask("POST", "/auth/accesskey", { providerName: "password", login, password: $("password").value })).key;
  } catch (error) {
    throw error.status === 401 ? new Refusal("Login or password is wrong, or you have tried too often.") : error;
  } finally {
    $("password").value = "";
  }
  person.user = await ask("GET", "/user/current");
  if (manages) await listGrants();
  else showConsent(await ask("GET", `/network?sortField=Name&take=${NETWORKS + 1}`));
}

async function listGrants() {
  showGrants(await ask("GET", `${GRANTS}?sortOrder=DESC&take=${GRANTS_SHOWN}`));
}

async function logOut() {
  const { key } = person;
  if (!key) return;
  try {
    await ask("DELETE", "/auth/accesskey");
  } catch (error) {
    console.warn(`the session key ends by itself: ${error.message}`);
  }
  person.key = person.user = null;
}

function chosenNetworks() {
  if ($("where").hidden || document.querySelector("[name=where]:checked").value === "all") return null;
  const ids = [...document.querySelectorAll("#networks input:checked")].map((box) => Number(box.value));
  if (!ids.length) throw new Refusal("Choose at least one network.");
  return ids;
}

async function allow() {
  const networkIds = chosenNetworks();
  const { type, accessType, redirectUri, challenge: codeChallenge } = asked;
  const scope = asked.scope.join(" ");
  const old = await earlier({ clientOAuthId: asked.client.oauthId, type, scope, redirectUri, accessType });
  const made = old
    ? await ask("PUT", `${GRANTS}/${old.id}`, { networkIds, codeChallenge })
    : await ask("POST", GRANTS, { client: { oauthId: asked.client.oauthId }, type, accessType, redirectUri, scope, networkIds, codeChallenge });
  await logOut();
  leave(type === "Code" ? { code: made.authCode } : { token_type: "Bearer", access_token: made.accessKey.key });
}

// What the person has granted to the application before. Administrators see the grants of everybody and not whose they
// are, so of theirs none is used again.
async function earlier(query) {
  if (person.user.role === 0) return null;
  return (await ask("GET", `${GRANTS}?${new URLSearchParams(query)}`))[0];
}

async function deny() {
  await logOut();
  leave({ error: "access_denied" });
}

function leave(values) {
  for (const [name, value] of Object.entries(values)) asked.target.searchParams.append(name, value);
  if (asked.state !== null) asked.target.searchParams.append("state", asked.state);
  show("", `Back to ${asked.client.name}`, "You can close this page if nothing happens.");
  location.replace(asked.target.href);
}

// One thing at a time, and its trouble where it can be read.
async function attempt(work) {
  const buttons = document.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  complain("");
  try {
    await work();
  } catch (error) {
    if (error.status === 401 && person.key) {
      person.key = null;
      showLogin();
      complain("You were logged out. Log in again.");
    } else complain(error instanceof Refusal ? error.message : "Something unexpected has happened. Try again.");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function on(id, event, work) {
  $(id).addEventListener(event, (happened) => {
    happened.preventDefault();
    attempt(work);
  });
}

on("login", "submit", logIn);
on("consent", "submit", allow);
for (const id of ["other", "end"])
  on(id, "click", async () => {
    await logOut();
    showLogin();
  });
for (const button of document.querySelectorAll(".deny")) button.addEventListener("click", () => attempt(deny));
$("where").addEventListener("change", () => {
  $("networks").hidden = document.querySelector("[name=where]:checked").value === "all";
});

if (manages) showLogin();
else read().then(showLogin, showRefusal);
