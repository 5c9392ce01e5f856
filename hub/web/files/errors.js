// The errors, as the hub's own catalogue has them: what each means, and what to do about it.
"use strict";

function showErrors({ errors, closes }) {
  const byCode = Map.groupBy ? Map.groupBy(errors, ({ code }) => code) : grouped(errors);
  const groups = [...byCode].sort(([one], [other]) => one - other);
  $("problems").replaceChildren(
    element("p", { className: "lead", textContent: "On a socket, code is the member of that name; over REST it is the "
      + "status as well. Extended mode and Hub-Version: 1 add the reason, which is what a program should look at." }),
    ...groups.map(([code, ones]) => group(`errors-${code}`, `Code ${code}`, ...ones.map(problem))),
    group("closes", "Close codes of sockets", ...closes.map(ending)));
}

function grouped(errors) {
  const groups = new Map();
  for (const one of errors) groups.set(one.code, [...(groups.get(one.code) ?? []), one]);
  return groups;
}

function problem({ name, error, reason, when, remedy }) {
  return told(`error-${name}`, error, reason, when, remedy);
}

function ending({ code, name, when, remedy }) {
  return told(`close-${code}`, String(code), name, when, remedy);
}

function told(id, head, word, when, remedy) {
  const box = element("article", { id, className: "problem" },
    element("h4", {}, element("code", { textContent: head }), element("span", { className: "tag", textContent: word })),
    element("p", {}, element("b", { textContent: "When " }), `${when}.`),
    element("p", {}, element("b", { textContent: "What to do " }), remedy));
  box.dataset.words = `${head} ${word} ${when} ${remedy}`.toLowerCase();
  return box;
}
