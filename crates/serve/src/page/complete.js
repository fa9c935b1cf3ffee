// Texts continued by a model that was never taught to chat.
import { stream } from "./api.js";
import { button, copy, download, element, isTouch, note } from "./dom.js";
import { make } from "./link.js";
import { settings } from "./settings.js";
import { text, tokens } from "./tokens.js";

const KEPT = "text";

export class Completion {
  #model;
  #area = element("textarea", { "aria-label": "Text", spellcheck: "false", placeholder: "Begin a text; the model goes on with it" });
  #go = button("Continue", () => (this.#running ? this.stop() : this.#continue()), { class: "first" });
  #again = button("Another", () => this.#another());
  #undo = button("Take back", () => this.#back());
  #figures = element("span", { class: "figures" });
  #shown = element("div", { "aria-label": "Probabilities of what was added", role: "region" });
  #error = element("p", { class: "error", role: "alert" });
  #running = null;
  /** When the text was kept last. */
  #kept = 0;
  /** What was added, last first: the text before it, its tokens and how it was asked for. */
  #added = [];

  constructor(model, place) {
    this.#model = model;
    const link = button("Link", () => this.#link(), { title: "Copy a link that reproduces what was added" });
    const tools = element("div", { class: "row" }, this.#figures, link, this.#undo, this.#again, this.#go);
    place.replaceChildren(element("div", { class: "sheet" }, this.#area, tools, this.#error, this.#shown));
    this.#area.addEventListener("input", () => this.#draw());
    this.#area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.#running && !isTouch()) {
        event.preventDefault();
        this.#continue();
      }
    });
    try {
      this.#area.value = localStorage.getItem(KEPT) ?? "";
    } catch { /* a browser that keeps nothing */ }
    this.#draw();
    this.#area.focus();
  }

  follow(value) {
    if (typeof value?.prompt !== "string" || typeof value.sampling !== "object") return note("This link holds no text");
    settings.set({ ...value.sampling, seed: String(value.sampling.seed), stop: value.sampling.stop?.[0] ?? "" });
    this.reset();
    this.#area.value = value.prompt;
    note("The text of this link, continued again");
    this.#continue();
  }

  reset() {
    this.stop();
    this.#area.value = "";
    this.#added = [];
    this.#draw();
  }

  export() {
    download("text.json", { format: "maquette-text", text: this.#area.value, model: this.#model.id, settings: settings.values });
  }

  import(value) {
    if (typeof value?.text !== "string") throw new Error("this file holds no text");
    this.reset();
    this.#area.value = value.text;
    if (value.settings) settings.set(value.settings);
    this.#draw();
  }

  stop() {
    this.#running?.abort();
  }

  async #continue() {
    const added = { before: this.#area.value, tokens: [], sampling: settings.sampling() };
    this.#added.push(added);
    const running = (this.#running = new AbortController());
    this.#error.textContent = "";
    this.#draw();
    const body = { model: this.#model.id, prompt: added.before, logprobs: 5, ...added.sampling };
    let first = 0;
    try {
      await stream("/v1/completions", body, running.signal, (chunk) => {
        const choice = chunk.choices[0];
        if (!choice?.text) return;
        first ||= performance.now();
        const { tokens: names = [], token_logprobs: own = [], top_logprobs: tops = [] } = choice.logprobs ?? {};
        names.forEach((token, i) => added.tokens.push({ token, logprob: own[i],
          top_logprobs: Object.entries(tops[i] ?? {}).map(([token, logprob]) => ({ token, logprob })) }));
        const isBelow = this.#area.scrollHeight - this.#area.scrollTop - this.#area.clientHeight < 40;
        this.#area.value += choice.text;
        if (isBelow) this.#area.scrollTop = this.#area.scrollHeight;
        // A page that is loaded again goes on from here.
        if (performance.now() - this.#kept > 1000) this.#keep();
        const seconds = (performance.now() - first) / 1000;
        if (seconds > 0.05) this.#figures.textContent = `${((added.tokens.length - 1) / seconds).toFixed(1)} tokens/s · seed ${added.sampling.seed}`;
      });
    } catch (error) {
      if (error.name !== "AbortError") this.#error.textContent = error.message;
    }
    if (this.#running === running) this.#running = null;
    this.#draw();
  }

  #back() {
    this.stop();
    const last = this.#added.pop();
    if (last) this.#area.value = last.before;
    this.#draw();
  }

  #another() {
    this.#back();
    this.#continue();
  }

  #link() {
    const last = this.#added.at(-1);
    if (last) copy(make({ prompt: last.before, sampling: last.sampling }));
    else note("Nothing was added yet");
  }

  #keep() {
    this.#kept = performance.now();
    try {
      localStorage.setItem(KEPT, this.#area.value);
    } catch { /* too long to be kept */ }
  }

  #draw() {
    const last = this.#added.at(-1);
    const isBusy = Boolean(this.#running);
    this.#go.textContent = isBusy ? "Stop" : "Continue";
    this.#again.disabled = this.#undo.disabled = !last;
    this.#area.setAttribute("aria-busy", String(isBusy));
    const choose = (index, other) => {
      const before = last.before + text([...last.tokens.slice(0, index), other]);
      this.stop();
      this.#area.value = before;
      this.#continue();
    };
    this.#shown.replaceChildren(...(last?.tokens.length && !isBusy ? [tokens(last.tokens, choose)] : []));
    this.#keep();
  }
}
