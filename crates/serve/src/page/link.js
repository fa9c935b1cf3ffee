// Links that hold a request whole: whoever opens one on the same model gets the same answer. What stands behind # is not sent.

export function make(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return `${location.origin}/#${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** What the address holds, and the address without it; null where it holds nothing. */
export function take() {
  const text = location.hash.slice(1);
  if (!text) return null;
  history.replaceState(null, "", "/");
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}
