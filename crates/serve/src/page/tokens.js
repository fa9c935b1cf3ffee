// Tokens with their probabilities, shown where one points at them.
import { button, element } from "./dom.js";

const tip = () => document.getElementById("tip");
let timer;

/** A text as its tokens. `choose(index, other)` is called where somebody picks another token for one. */
export function tokens(list, choose) {
  const place = element("div", { class: "tokens" });
  list.forEach((token, index) => {
    const p = Math.exp(token.logprob);
    const level = p > 0.9 ? 0 : p > 0.5 ? 1 : p > 0.2 ? 2 : p > 0.05 ? 3 : 4;
    const show = (event) => open(event.currentTarget, token, (other) => choose(index, other));
    place.append(element("span", {
      class: `token p${level}`, tabindex: 0, onmouseenter: show, onfocus: show, onmouseleave: later, onblur: later,
      "aria-label": `${token.token}: ${percent(p)}`, role: "note",
    }, token.token));
  });
  return place;
}

const percent = (p) => (p >= 0.0995 ? `${(100 * p).toFixed(0)} %` : `${(100 * p).toPrecision(2)} %`);
const visible = (text) => text.replaceAll("\n", "↵").replaceAll("\t", "→") || "∅";

function open(anchor, token, choose) {
  clearTimeout(timer);
  const rows = [token, ...(token.top_logprobs ?? []).filter((other) => other.token !== token.token)];
  rows.sort((a, b) => b.logprob - a.logprob);
  const row = (other) => {
    const label = visible(other.token);
    const name = other === token ? element("strong", {}, label)
      : button(label, () => { tip().hidden = true; choose(other); }, { title: "Continue with this token instead" });
    return element("tr", {}, element("td", {}, name), element("td", {}, percent(Math.exp(other.logprob))));
  };
  const place = tip();
  place.replaceChildren(element("table", {}, element("tbody", {}, ...rows.map(row))));
  place.hidden = false;
  place.onmouseenter = () => clearTimeout(timer);
  place.onmouseleave = later;
  const box = anchor.getBoundingClientRect();
  const fits = box.bottom + place.offsetHeight + 6 < innerHeight;
  place.style.top = `${fits ? box.bottom + 4 : Math.max(4, box.top - place.offsetHeight - 4)}px`;
  place.style.left = `${Math.max(4, Math.min(box.left, innerWidth - place.offsetWidth - 4))}px`;
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => { if (!tip().contains(document.activeElement)) tip().hidden = true; }, 300);
}

/** The text of tokens, of which one character may be several. */
export function text(list) {
  return new TextDecoder().decode(new Uint8Array(list.flatMap((token) => token.bytes ?? [...new TextEncoder().encode(token.token)])));
}
