// Elements made of names and texts: nothing that a model or a person wrote is ever read as HTML.

/** An element with properties, and children that are nodes or texts. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(label, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, label);
}

/** Says something for a few seconds. */
export function note(text) {
  const place = document.getElementById("note");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(note.timer);
  note.timer = setTimeout(() => (place.hidden = true), 4000);
}

/** Whether Enter is a line feed: where there is no key for Shift beside it. */
export const isTouch = () => matchMedia("(pointer: coarse)").matches;

/** Makes a text area as high as its text. */
export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    note("Copied");
  } catch {
    prompt("Copy this:", text);
  }
}

export function download(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
