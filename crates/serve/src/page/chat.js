// Conversations with a model that was taught to chat.
import { stream } from "./api.js";
import { button, copy, download, element, grow, isTouch, note } from "./dom.js";
import { make } from "./link.js";
import { render } from "./markdown.js";
import { Pictures, show } from "./pictures.js";
import { settings } from "./settings.js";
import { text, tokens } from "./tokens.js";
import { Tree } from "./tree.js";

const KEPT = "conversation";

export class Chat {
  #model;
  #tree = new Tree();
  #log = element("div", { class: "log", role: "log", "aria-label": "Conversation" });
  #input = element("textarea", { rows: 1, "aria-label": "Message", placeholder: "Write a message" });
  #send = element("button", { class: "first" }, "Send");
  #pictures = null;
  #running = null;
  /** Whether it was said that nothing more is kept. */
  #isTold = false;
  /** Messages whose tokens are shown, and the one that is edited. */
  #opened = new Set();
  #edited = null;
  #views = new Map();

  constructor(model, place) {
    this.#model = model;
    const form = element("form", { onsubmit: (event) => { event.preventDefault(); this.#running ? this.stop() : this.#submit(); } },
      this.#input, this.#send);
    if (model.reads_images) {
      this.#pictures = new Pictures(this.#input);
      form.prepend(...this.#pictures.nodes);
    }
    place.replaceChildren(this.#log, element("div", { class: "composer" }, form));
    this.#input.addEventListener("input", () => grow(this.#input));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !isTouch()) {
        event.preventDefault();
        if (!this.#running) this.#submit();
      } else if (event.key === "ArrowUp" && !this.#input.value) {
        const last = this.#tree.path().findLast((node) => node.role === "user");
        if (last) this.#edit(last);
      }
    });
    try {
      const kept = localStorage.getItem(KEPT);
      if (kept) this.#tree = Tree.of(JSON.parse(kept));
    } catch { /* what another version wrote */ }
    this.#draw();
    this.#input.focus();
  }

  /** Opens what a link holds: its conversation, and the answer that it asks for. */
  follow(value) {
    try {
      const tree = Tree.of(value.messages.filter((message) => message.role !== "system"));
      settings.set({ ...value.sampling, seed: String(value.sampling.seed), stop: value.sampling.stop?.[0] ?? "",
        system: value.messages.find((message) => message.role === "system")?.content ?? "" });
      this.stop();
      this.#tree = tree;
      const last = tree.path().at(-1);
      const begun = last?.role === "assistant" ? last : null;
      if (begun) {
        tree.remove(begun);
        this.#answer(begun.parent, begun.content);
      } else if (last) this.#answer(last.id, "");
      note("The answer of this link, decoded again");
    } catch {
      note("This link holds no conversation");
    }
  }

  reset() {
    this.stop();
    this.#tree = new Tree();
    this.#draw();
    this.#input.focus();
  }

  export() {
    download("conversation.json", { ...this.#tree.json(), model: this.#model.id, settings: settings.values });
  }

  import(value) {
    const tree = Tree.of(value);
    this.stop();
    this.#tree = tree;
    if (value.settings) settings.set(value.settings);
    this.#draw();
  }

  stop() {
    this.#running?.abort();
  }

  #submit() {
    const content = this.#input.value.trim();
    const images = this.#pictures?.take() ?? [];
    if (!content && !images.length) return;
    this.#input.value = "";
    grow(this.#input);
    const parent = this.#tree.path().at(-1)?.id ?? 0;
    this.#answer(this.#tree.add(parent, { role: "user", content, ...(images.length ? { images } : {}) }).id, "");
  }

  /** Answers a message; goes on with what of the answer was begun. */
  async #answer(parent, begun) {
    this.stop();
    const node = this.#tree.add(parent, { role: "assistant", content: begun, tokens: [], sampling: settings.sampling() });
    node.begun = begun;
    const running = (this.#running = new AbortController());
    this.#draw();
    this.#bottom();
    const system = settings.values.system.trim();
    const messages = [...(system ? [{ role: "system", content: system }] : []),
      ...this.#tree.before(node).map(said)];
    if (begun) messages.push({ role: "assistant", content: begun });
    const body = { model: this.#model.id, messages, logprobs: true, top_logprobs: 5, ...node.sampling,
      ...(begun ? { continue_final_message: true } : {}) };
    let first = 0;
    try {
      await stream("/v1/chat/completions", body, running.signal, (chunk) => {
        const choice = chunk.choices[0];
        if (chunk.usage) this.#rate(node, chunk.usage.completion_tokens, first);
        if (!choice) return;
        if (choice.delta.content) {
          first ||= performance.now();
          node.content += choice.delta.content;
          node.tokens.push(...(choice.logprobs?.content ?? []));
          this.#rate(node, node.tokens.length, first);
          this.#soon(node);
        }
        if (choice.finish_reason) node.finish = choice.finish_reason;
      });
    } catch (error) {
      if (error.name === "AbortError") node.finish = "stopped";
      else node.error = error.message;
    }
    if (this.#running === running) this.#running = null;
    this.#keep();
    this.#draw();
  }

  #rate(node, n, first) {
    const seconds = (performance.now() - first) / 1000;
    if (first && n > 1 && seconds > 0.05) node.rate = (n - 1) / seconds;
  }

  #edit(node) {
    this.#edited = node.id;
    this.#draw();
    const area = this.#views.get(node.id)?.querySelector("textarea");
    if (!area) return;
    grow(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  /** Draws a message once the browser has time for it. */
  #soon(node) {
    if (node.isDue) return;
    node.isDue = true;
    requestAnimationFrame(() => {
      delete node.isDue;
      const view = this.#views.get(node.id);
      if (!view || this.#edited === node.id) return;
      const isBelow = this.#isBelow();
      const fresh = this.#view(node);
      view.replaceWith(fresh);
      this.#views.set(node.id, fresh);
      if (isBelow) this.#bottom();
      if (!(node.kept > performance.now() - 1000)) {
        node.kept = performance.now();
        this.#keep();
      }
    });
  }

  #isBelow() {
    return innerHeight + scrollY > document.documentElement.scrollHeight - 80;
  }

  #bottom() {
    scrollTo({ top: document.documentElement.scrollHeight });
  }

  #keep() {
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.#tree.json()));
    } catch {
      if (!this.#isTold) note("This conversation is too long for the browser to keep: export it");
      this.#isTold = true;
    }
  }

  #draw() {
    const path = this.#tree.path();
    this.#views = new Map(path.map((node) => [node.id, this.#view(node)]));
    const empty = element("div", { class: "empty" }, element("p", {}, `This is ${this.#model.id}. What would you like to ask?`),
      element("p", {}, "Everything stays on the machine that serves it, and in this browser."));
    this.#log.replaceChildren(...(path.length ? this.#views.values() : [empty]));
    this.#log.setAttribute("aria-busy", String(Boolean(this.#running)));
    this.#send.textContent = this.#running ? "Stop" : "Send";
    this.#keep();
  }

  #view(node) {
    const isUser = node.role === "user";
    const isBusy = Boolean(this.#running) && node === this.#tree.path().at(-1);
    const view = element("article", { class: `message ${node.role}${isBusy && !isUser ? " busy" : ""}` },
      element("div", { class: "who" }, isUser ? "You" : this.#model.id));
    if (this.#edited === node.id) {
      view.append(this.#editor(node));
      return view;
    }
    const body = element("div", { class: "body" });
    if (isUser) body.append(...(node.images ? [show(node.images)] : []), node.content);
    else if (this.#opened.has(node.id) && node.tokens?.length) {
      if (node.begun) body.append(element("span", { class: "tokens" }, node.begun));
      body.append(tokens(node.tokens, (index, other) => this.#branch(node, index, other)));
    } else body.append(...render(node.content));
    view.append(body);
    if (node.error) view.append(element("p", { class: "error", role: "alert" }, node.error));
    if (!isBusy) view.append(this.#tools(node));
    else if (node.rate) view.append(element("div", { class: "tools" }, element("span", { class: "figures" }, `${node.rate.toFixed(1)} tokens/s`)));
    return view;
  }

  #editor(node) {
    const area = element("textarea", { "aria-label": "Edit the message", rows: 2, oninput: (event) => grow(event.currentTarget) });
    area.value = node.content;
    const end = () => { this.#edited = null; this.#draw(); this.#input.focus(); };
    const isUser = node.role === "user";
    const go = () => {
      this.#edited = null;
      if (isUser) this.#answer(this.#tree.add(node.parent, { role: "user", content: area.value, ...(node.images ? { images: node.images } : {}) }).id, "");
      else this.#answer(node.parent, area.value);
    };
    const keep = () => {
      this.#tree.add(node.parent, { role: "assistant", content: area.value });
      end();
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { event.stopPropagation(); end(); }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go();
    });
    const rest = isUser ? [] : [button("Keep as it is", keep)];
    return element("div", { class: "editor" }, area,
      element("div", { class: "row" }, button("Cancel", end), ...rest, button(isUser ? "Send" : "Continue from here", go, { class: "first" })));
  }

  #tools(node) {
    const quiet = { class: "quiet" };
    const tools = element("div", { class: "tools" });
    const all = this.#tree.followers(node.parent);
    if (all.length > 1) {
      const at = all.findIndex((other) => other.id === node.id);
      const turn = (by) => { this.stop(); this.#tree.turn(node, by); this.#draw(); };
      tools.append(button("‹", () => turn(-1), { ...quiet, "aria-label": "Version before", disabled: at === 0 }),
        `${at + 1} / ${all.length}`,
        button("›", () => turn(1), { ...quiet, "aria-label": "Next version", disabled: at + 1 === all.length }));
    }
    tools.append(button("Edit", () => this.#edit(node), quiet), button("Copy", () => copy(node.content), quiet));
    if (node.role === "user") {
      if (!this.#tree.followers(node.id).length) tools.append(button("Answer", () => this.#answer(node.id, ""), quiet));
      return tools;
    }
    tools.append(button("Regenerate", () => this.#answer(node.parent, ""), quiet));
    if (node.finish === "length" || node.finish === "stopped") tools.append(button("Continue", () => this.#answer(node.parent, node.content), quiet));
    if (node.tokens?.length) {
      const isOpen = this.#opened.has(node.id);
      const toggle = () => { isOpen ? this.#opened.delete(node.id) : this.#opened.add(node.id); this.#draw(); };
      tools.append(button("Probabilities", toggle, { ...quiet, "aria-pressed": isOpen }));
    }
    // Pictures are too long for an address.
    if (node.sampling && !this.#tree.before(node).some((other) => other.images)) tools.append(button("Link", () => copy(make(this.#request(node))), { ...quiet, title: "Copy a link that reproduces this answer" }));
    const figures = [];
    if (node.finish === "length") figures.push("cut at the most tokens");
    if (node.finish === "stopped") figures.push("stopped");
    if (node.rate) figures.push(`${node.rate.toFixed(1)} tokens/s`);
    if (node.sampling) figures.push(`seed ${node.sampling.seed}`);
    tools.append(element("span", { class: "figures" }, figures.join(" · ")));
    return tools;
  }

  /** What an answer was asked with. */
  #request(node) {
    const system = settings.values.system.trim();
    const messages = [...(system ? [{ role: "system", content: system }] : []),
      ...this.#tree.before(node).map(({ role, content }) => ({ role, content }))];
    if (node.begun) messages.push({ role: "assistant", content: node.begun });
    return { model: this.#model.id, messages, sampling: node.sampling };
  }

  /** Another answer that begins as this one, up to a token, and goes on with another. */
  #branch(node, index, other) {
    this.#opened.delete(node.id);
    this.#answer(node.parent, (node.begun ?? "") + text([...node.tokens.slice(0, index), other]));
  }
}

/** A message as the server reads it: pictures stand before the text. */
function said({ role, content, images }) {
  if (!images) return { role, content };
  const pictures = images.map((url) => ({ type: "image_url", image_url: { url } }));
  return { role, content: [...pictures, ...(content ? [{ type: "text", text: content }] : [])] };
}
