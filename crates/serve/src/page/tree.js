// A conversation with its branches: every message may be followed by several others, one of which is shown.

import { isPicture } from "./pictures.js";

export class Tree {
  /** Messages by number; a message knows the one before it. */
  nodes = new Map();
  /** Which follower of each message is shown; that of the beginning under 0. */
  shown = new Map();
  #last = 0;

  add(parent, message) {
    const id = ++this.#last;
    this.nodes.set(id, { id, parent, ...message });
    this.shown.set(parent, id);
    return this.nodes.get(id);
  }

  followers(parent) {
    return [...this.nodes.values()].filter((node) => node.parent === parent);
  }

  /** The messages that are shown, from the first. */
  path() {
    const path = [];
    for (let id = this.shown.get(0); id !== undefined; id = this.shown.get(id)) path.push(this.nodes.get(id));
    return path;
  }

  /** The messages before one. */
  before(node) {
    const path = [];
    for (let at = this.nodes.get(node.parent); at; at = this.nodes.get(at.parent)) path.unshift(at);
    return path;
  }

  /** Shows the follower that stands so many places beside a message. */
  turn(node, by) {
    const all = this.followers(node.parent);
    const at = all.findIndex((other) => other.id === node.id) + by;
    if (all[at]) this.shown.set(node.parent, all[at].id);
  }

  remove(node) {
    for (const follower of this.followers(node.id)) this.remove(follower);
    this.nodes.delete(node.id);
    this.shown.delete(node.id);
    const rest = this.followers(node.parent);
    if (this.shown.get(node.parent) === node.id) {
      if (rest.length) this.shown.set(node.parent, rest.at(-1).id);
      else this.shown.delete(node.parent);
    }
  }

  json() {
    return { format: "maquette-chat", version: 1, nodes: [...this.nodes.values()], shown: [...this.shown] };
  }

  /** A conversation as it was exported, or a list of messages. Throws where it is neither. */
  static of(value) {
    const tree = new Tree();
    const list = Array.isArray(value) ? value : value?.messages;
    if (Array.isArray(list)) {
      let parent = 0;
      for (const { role, content } of list) parent = tree.add(parent, message({ role, content })).id;
      return tree;
    }
    if (value?.format !== "maquette-chat" || !Array.isArray(value.nodes)) throw new Error("this file holds no conversation");
    for (const node of value.nodes) {
      const isKnown = node.parent === 0 || tree.nodes.has(node.parent);
      if (!Number.isSafeInteger(node.id) || node.id < 1 || tree.nodes.has(node.id) || !isKnown) throw new Error("a message of this file follows none");
      tree.nodes.set(node.id, { id: node.id, parent: node.parent, ...message(node) });
      tree.shown.set(node.parent, node.id);
      tree.#last = Math.max(tree.#last, node.id);
    }
    for (const [parent, id] of Array.isArray(value.shown) ? value.shown : []) {
      if (tree.nodes.get(id)?.parent === parent) tree.shown.set(parent, id);
    }
    return tree;
  }
}

/** The fields of a message that are known. */
function message({ role, content, images, begun, tokens, sampling, finish, rate }) {
  if (!["system", "user", "assistant"].includes(role) || typeof content !== "string") throw new Error("a message of this file has no role or no text");
  const isToken = (token) => typeof token?.token === "string" && typeof token.logprob === "number";
  return {
    role, content,
    ...(Array.isArray(images) && images.every(isPicture) && images.length ? { images } : {}),
    ...(typeof begun === "string" && content.startsWith(begun) ? { begun } : {}),
    ...(Array.isArray(tokens) && tokens.every(isToken) ? { tokens } : {}),
    ...(sampling && typeof sampling === "object" ? { sampling } : {}),
    ...(typeof finish === "string" ? { finish } : {}),
    ...(typeof rate === "number" ? { rate } : {}),
  };
}
