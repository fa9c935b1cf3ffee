// Markdown to nodes: paragraphs, headings, lists, quotes, code and tables. Whatever is not understood is shown as it is.
import { button, copy, element } from "./dom.js";

/** The nodes of a text. */
export function render(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  return blocks(lines, 0);
}

const FENCE = /^\s{0,3}(```+|~~~+)\s*([^`]*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)#*\s*$/;
const DASHES = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const MAX_DEPTH = 8;

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(FENCE);
    if (!line.trim()) at++;
    else if (fence) {
      const end = (other) => other.trim().startsWith(fence[1]) && !other.trim().slice(fence[1].length).trim();
      const body = [];
      for (at++; at < lines.length && !end(lines[at]); at++) body.push(lines[at]);
      at++;
      nodes.push(code(body.join("\n"), fence[2].trim()));
    } else if (HEADING.test(line)) {
      const [, marks, title] = line.match(HEADING);
      nodes.push(element(`h${Math.min(marks.length + 1, 4)}`, {}, ...inline(title)));
      at++;
    } else if (RULE.test(line)) {
      nodes.push(element("hr"));
      at++;
    } else if (/^\s{0,3}>/.test(line) && depth < MAX_DEPTH) {
      const body = [];
      for (; at < lines.length && /^\s{0,3}>/.test(lines[at]); at++) body.push(lines[at].replace(/^\s{0,3}> ?/, ""));
      nodes.push(element("blockquote", {}, ...blocks(body, depth + 1)));
    } else if (ITEM.test(line) && depth < MAX_DEPTH) {
      const [list, next] = items(lines, at, depth);
      nodes.push(list);
      at = next;
    } else if (line.includes("|") && at + 1 < lines.length && DASHES.test(lines[at + 1]) && lines[at + 1].includes("-")) {
      const rows = [cells(line)];
      for (at += 2; at < lines.length && lines[at].includes("|") && lines[at].trim(); at++) rows.push(cells(lines[at]));
      nodes.push(table(rows));
    } else {
      const body = [];
      for (; at < lines.length && lines[at].trim() && !(body.length && begins(lines[at])); at++) body.push(lines[at]);
      const paragraph = element("p");
      body.forEach((part, i) => paragraph.append(...(i ? [element("br")] : []), ...inline(part)));
      nodes.push(paragraph);
    }
  }
  return nodes;
}

/** Whether a line ends the paragraph before it. */
const begins = (line) => FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || RULE.test(line) || /^\s{0,3}>/.test(line);

function items(lines, at, depth) {
  const [, indent, mark] = lines[at].match(ITEM);
  const isNumbered = /\d/.test(mark);
  const list = element(isNumbered ? "ol" : "ul", isNumbered ? { start: parseInt(mark, 10) } : {});
  while (at < lines.length) {
    const found = lines[at].match(ITEM);
    if (!found || found[1].length !== indent.length || /\d/.test(found[2]) !== isNumbered) break;
    const body = [found[3]];
    for (at++; at < lines.length; at++) {
      const isInner = lines[at].startsWith(" ".repeat(indent.length + 2));
      if (lines[at].trim() && !isInner) break;
      if (!lines[at].trim() && !(lines[at + 1] ?? "").startsWith(" ".repeat(indent.length + 2))) break;
      body.push(lines[at].slice(indent.length + 2));
    }
    while (at < lines.length && !lines[at].trim() && (lines[at + 1] ?? "").match(ITEM)?.[1].length === indent.length) at++;
    const [first, ...rest] = blocks(body, depth + 1);
    // An item of one line needs no paragraph.
    const nodes = first?.nodeName === "P" ? [...first.childNodes] : first ? [first] : [];
    list.append(element("li", {}, ...nodes, ...rest));
  }
  return [list, at];
}

function code(text, language) {
  const bar = element("div", { class: "bar" }, element("span", {}, language || "code"),
    button("Copy", () => copy(text), { class: "quiet" }));
  return element("div", { class: "block" }, bar, element("pre", { tabindex: 0 }, element("code", {}, text)));
}

function cells(line) {
  const cells = line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/);
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table([head, ...rows]) {
  const row = (name, cells) => element("tr", {}, ...cells.map((cell) => element(name, {}, ...inline(cell))));
  return element("div", { class: "table", tabindex: 0 },
    element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...rows.map((cells) => row("td", cells)))));
}

const INLINE = /(`+)(.+?)\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|__(\S(?:.*?\S)?)__|\*(\S(?:[^*]*?\S)?)\*|\[([^\]]*)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])/;
const MAX_NESTED = 6;

function inline(text, depth = 0) {
  const nodes = [];
  while (text) {
    const found = depth < MAX_NESTED ? text.match(INLINE) : null;
    if (!found) {
      nodes.push(text);
      break;
    }
    if (found.index) nodes.push(text.slice(0, found.index));
    const [all, , codeText, bold, strong, italic, label, target, bare] = found;
    if (codeText !== undefined) nodes.push(element("code", {}, codeText.length > 2 ? codeText.replace(/^ (.*) $/, "$1") : codeText));
    else if (bold ?? strong) nodes.push(element("strong", {}, ...inline(bold ?? strong, depth + 1)));
    else if (italic) nodes.push(element("em", {}, ...inline(italic, depth + 1)));
    else nodes.push(link(label || target || bare, target ?? bare));
    text = text.slice(found.index + all.length);
  }
  return nodes;
}

/** A link that says where it leads: to the web alone, and only when it is followed. */
function link(label, target) {
  return element("a", { href: target, title: target, target: "_blank", rel: "noopener noreferrer nofollow" }, label);
}
