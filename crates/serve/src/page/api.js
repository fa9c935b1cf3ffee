// The server: requests, and answers as they come.
import { settings } from "./settings.js";

const headers = () => {
  const key = settings.key();
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
};

/** The model that is served. */
export async function model() {
  const response = await fetch("/v1/models", { headers: headers() });
  if (!response.ok) throw await failure(response);
  return (await response.json()).data[0];
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  const error = new Error(body?.error?.message ?? `the server answered with status ${response.status}`);
  error.status = response.status;
  return error;
}

/** Sends a request and gives each chunk of its answer to `take`; ends with the last or when `signal` says so. */
export async function stream(path, body, signal, take) {
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(asked), signal });
  if (!response.ok) throw await failure(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the connection was lost");
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const data = event.slice(6);
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      take(chunk);
    }
  }
}
