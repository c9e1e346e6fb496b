// What a page does by itself: live fragments through one EventSource, and searches without a reload.
// Everything here is a convenience: without it links, forms and reloading do the same.

const $ = (id) => document.getElementById(id);

// --- fragments ------------------------------------------------------------------------------------------------------

function elementOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

/** Put a new element in the place of the one with its id; focus, open details and scrolling stay as they were. */
export function swap(next) {
  const old = next && next.id ? $(next.id) : null;
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  if (focused && focused.matches("input, select, textarea")) return; // never under somebody's fingers
  const open = new Map([...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const scrolls = new Map([...old.querySelectorAll("[data-keep-scroll]")].map((one) => [one.id, one.scrollLeft]));
  const focusId = focused ? focused.id : "";
  old.replaceWith(next);
  for (const [id, wasOpen] of open) if ($(id)) $(id).open = wasOpen;
  for (const [id, left] of scrolls) if ($(id)) $(id).scrollLeft = left;
  if (focusId && $(focusId)) $(focusId).focus({ preventScroll: true });
  enhance(next);
}

/** Screen readers hear a change of matter (data-say), not every new figure. */
function announce(element) {
  const said = element.dataset.say;
  const place = $("announcer");
  if (said && place && place.dataset.last !== said) {
    if (place.dataset.last !== undefined) place.textContent = said;
    place.dataset.last = said;
  }
}

// --- live -----------------------------------------------------------------------------------------------------------

const HIDDEN_FOR = 5000; // milliseconds: a page nobody looks at asks for nothing
let source = null;
let hiding = 0;
let over = false;

function status(word, text) {
  const place = $("live-status");
  if (!place) return;
  place.dataset.state = word;
  place.textContent = text;
}

function connect() {
  const url = document.body.dataset.live;
  if (!url || source || over) return;
  source = new EventSource(url);
  source.addEventListener("open", () => status("on", "Live"));
  source.addEventListener("error", () => {
    if (source && source.readyState === EventSource.CLOSED) disconnect();
    status("off", "Reconnecting…");
    if (!source) window.setTimeout(connect, 5000);
  });
  source.addEventListener("fragment", (event) => {
    const { html } = JSON.parse(event.data);
    const next = elementOf(html);
    if (!next) return;
    swap(next);
    announce(next);
  });
  source.addEventListener("end", () => {
    over = true;
    disconnect();
    status("done", "Final");
  });
  source.addEventListener("gone", () => {
    over = true;
    disconnect();
    window.location.reload();
  });
}

function disconnect() {
  if (source) source.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  window.clearTimeout(hiding);
  if (document.hidden) hiding = window.setTimeout(disconnect, HIDDEN_FOR);
  else connect();
});
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);

// --- searches and pages without a reload ----------------------------------------------------------------------------

/** Fetch a page of ours and take one element out of it. Anything unexpected: go there instead. */
async function take(url, id) {
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    if (!answer.ok || answer.redirected || !found) throw new Error(String(answer.status));
    swap(document.importNode(found, true));
    history.replaceState(null, "", url);
  } catch {
    window.location.assign(url);
  }
}

function onSubmit(event) {
  const form = event.currentTarget;
  event.preventDefault();
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  take(`${form.getAttribute("action")}?${new URLSearchParams(fields)}`, form.dataset.swap);
}

function onFollow(event) {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  const link = event.currentTarget;
  event.preventDefault();
  take(link.getAttribute("href"), link.dataset.swap);
}

async function onCopy(event) {
  const button = event.currentTarget;
  await navigator.clipboard.writeText($(button.dataset.copy).textContent.trim());
  button.textContent = "Copied";
}

function enhance(root) {
  for (const form of root.querySelectorAll("form[data-swap]")) form.addEventListener("submit", onSubmit);
  for (const link of root.querySelectorAll("a[data-swap]")) link.addEventListener("click", onFollow);
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", onCopy);
  }
  for (const select of root.querySelectorAll("select[data-go]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
}

enhance(document);
connect();
