// Elements from data. Text of others only ever becomes a text node, so it cannot become markup.

export function h(tag, props, ...children) {
  const el = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") Object.assign(el.style, value);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  el.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return el;
}

const KEPT = new Set(["open"]); // what a person has unfolded stays so

// Make `old` like `fresh` with as few changes as can be: focus, selection and scroll positions stay.
export function morph(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name) && name !== "style") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && !KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  children(old, [...fresh.childNodes]);
}

const key = (node) => (node.dataset ? node.dataset.key : undefined);

// Make the children of `parent` those nodes; what is false or null is left out.
export function children(parent, nodes) {
  const fresh = nodes.filter(Boolean);
  const keyed = new Map();
  for (const node of parent.childNodes) if (key(node)) keyed.set(key(node), node);
  let at = parent.firstChild;
  for (const node of fresh) {
    const known = key(node) ? keyed.get(key(node)) : at && !key(at) ? at : null;
    if (known && known.nodeName === node.nodeName) {
      if (known !== at) parent.insertBefore(known, at);
      else at = at.nextSibling;
      if (known.nodeType === Node.ELEMENT_NODE) morph(known, node);
      else if (known.data !== node.data) known.data = node.data;
    } else parent.insertBefore(node, at);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

export const $ = (id) => document.getElementById(id);

// A section's content; `id-title` names it.
export function fill(id, title, ...content) {
  children($(id), [h("h2", { id: `${id}-title` }, title), ...content.flat(2)]);
}

export function table(caption, headings, rows, tall) {
  if (!rows.length) return h("p", { class: "none" }, "Nothing yet.");
  const head = h("tr", null, headings.map((text) => h("th", { scope: "col" }, text)));
  return h("div", { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": `${caption}, as a table` },
    h("table", null, h("caption", { class: "hidden" }, caption), h("thead", null, head), h("tbody", null, rows)));
}
