// Dialogs: an order with its reason, and the token. Nothing is ordered without both.
import { $, children, h } from "./dom.js";
import { headers, token } from "./stream.js";

const WORDS = {
  promote: (on) => [`Promote ${on.name}`, `${on.name} will serve at once, without evidence. The previous model goes on learning and may come back by itself.`],
  drop: (on) => [`Drop ${on.name}`, `${on.name} and what it has learned go for good.`],
  rollback: () => ["Roll back", "The model that served before comes back, if it is still kept."],
  pause: () => ["Pause learning", "Events are still answered; labels that come meanwhile are never learned."],
  resume: () => ["Resume learning", "Labels are learned again from now on."],
};

function field(id, text, props, note) {
  return h("p", { class: "field" }, h("label", { for: id }, text), h("input", { id, name: id, autocomplete: "off", ...props }), note && h("small", { id: `${id}-note` }, note));
}

function show(title, ...content) {
  const dialog = $("dialog");
  children(dialog, []);
  dialog.append(h("form", { method: "dialog", novalidate: true }, h("h2", { id: "dialog-title" }, title), content.flat(), h("div", { id: "dialog-said", role: "alert" })));
  if (!dialog.open) dialog.showModal();
  const first = dialog.querySelector("input") || dialog.querySelector("button");
  first.focus();
  return dialog.querySelector("form");
}

function say(kind, ...lines) {
  children($("dialog-said"), [h("div", { class: "said", "data-kind": kind }, lines.map((line) => h("p", null, line)))]);
}

const buttons = (text, danger) => h("p", { class: "actions end" }, h("button", { type: "button", "data-close": true }, "Cancel"), h("button", { type: "submit", class: danger ? "danger" : "main" }, text));

export function askToken(why, then) {
  const form = show("Token", h("p", null, why || "Orders need a token of scope admin; reading needs one where tokens for it are set. It stays in this tab alone, until it is closed."),
    field("given", "Token", { type: "password", required: true }),
    h("p", { class: "actions end" }, token.get() && h("button", { type: "button", "data-forget": true }, "Forget it"), h("button", { type: "button", "data-close": true }, "Cancel"), h("button", { type: "submit", class: "main" }, "Use it")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = form.elements.given.value.trim();
    if (!given) return say("bad", "The field is empty.");
    token.set(given);
    $("dialog").close();
    then();
  });
  form.addEventListener("click", (event) => {
    if (!event.target.dataset || event.target.dataset.forget === undefined) return;
    token.set("");
    $("dialog").close();
    then();
  });
}

export function order(app, command, on, scope, allowed) {
  const [title, words] = WORDS[command](on), where = scope === null ? `all shards of ${app}` : `shard ${scope} of ${app}`;
  if (allowed !== "allowed") {
    show(title, h("p", null, "Orders are off, because no token is set."), h("p", null, h("b", null, "What to do: "), allowed), h("p", { class: "actions end" }, h("button", { type: "button", "data-close": true }, "Close")));
    return;
  }
  const form = show(title, h("p", null, words), h("p", null, "It goes to ", h("b", null, where), " and stays in the log, with its reason."),
    field("reason", "Reason", { type: "text", required: true, maxlength: 500 }), field("actor", "Your name", { type: "text", maxlength: 100, value: sessionStorage.getItem("actor") || "" }),
    !token.get() && field("given", "Token of scope admin", { type: "password" }), buttons(title, command === "drop"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reason = form.elements.reason.value.trim(), actor = form.elements.actor.value.trim(), given = form.elements.given;
    if (!reason) {
      form.elements.reason.setAttribute("aria-invalid", "true");
      form.elements.reason.focus();
      return say("bad", "Say why: the reason stays in the log.");
    }
    form.elements.reason.removeAttribute("aria-invalid");
    sessionStorage.setItem("actor", actor);
    if (given && given.value.trim()) token.set(given.value.trim());
    const send = form.querySelector("[type=submit]");
    send.disabled = true;
    say("wait", "Waiting for the answer of each shard …");
    const body = { app, command, reason, actor };
    if (scope !== null) body.shard = scope;
    if (on.version) body.version = Number(on.version);
    if (on.slot) body.slot = on.slot;
    try {
      const response = await fetch("/v1/commands", { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) });
      const answer = await response.json();
      if (!response.ok) {
        if (response.status === 401 || response.status === 403) refuse(form, answer);
        else say("bad", `Refused: ${answer.detail}`, answer.fix || "");
      } else {
        const bad = answer.shards.some((one) => one.outcome !== "done");
        say(bad ? "bad" : "good", ...answer.shards.slice(0, 20).map((one) => `Shard ${one.shard}: ${one.outcome}${one.why ? `. ${one.why}` : ""}`));
        if (!bad) children(form.querySelector(".actions"), [h("button", { type: "button", class: "main", "data-close": true }, "Close")]);
        form.querySelector("[data-close]").focus();
      }
    } catch (error) {
      say("bad", `The server did not answer: ${error.message}`, "Whether the order was written is not known; look at the models below.");
    }
    send.disabled = false;
  });
}

// A token that does not do: it is forgotten, and the field for another one comes back.
function refuse(form, answer) {
  token.set("");
  if (!form.elements.given) form.querySelector(".actions").before(field("given", "Token of scope admin", { type: "password" }));
  say("bad", `Refused: ${answer.detail}.`, answer.fix || "");
  form.elements.given.value = "";
  form.elements.given.focus();
}

$("dialog").addEventListener("click", (event) => {
  if (event.target.dataset && event.target.dataset.close !== undefined) $("dialog").close();
});
