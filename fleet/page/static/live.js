// Puts what has changed in its place. The server makes and escapes all words; only differences come.
"use strict";
const Live = (() => {
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  const showText = (key, text) => {
    each(`[data-b="${CSS.escape(key)}"]`, (element) => {
      if (element.textContent !== text) element.textContent = text;
      if (element.classList.contains("banner")) element.hidden = text === "";
    });
  };

  const showState = (key, state) => {
    each(`[data-b="${CSS.escape(key)}"], [data-b-state="${CSS.escape(key)}"]`, (element) => {
      element.dataset.state = state;
    });
  };

  // The focus stays where a person has put it: on a button by its key, on a link by its address.
  const focusIn = (element) => {
    const active = document.activeElement;
    if (!element.contains(active)) return null;
    if (active.dataset.key) return `[data-key="${CSS.escape(active.dataset.key)}"]`;
    const address = active.getAttribute("href");
    return address ? `[href="${CSS.escape(address)}"]` : null;
  };

  const fill = (element, markup) => {
    const focused = focusIn(element);
    element.innerHTML = markup;
    if (focused) element.querySelector(focused)?.focus();
  };

  const showMarkup = (key, markup) => {
    each(`[data-m="${CSS.escape(key)}"]`, (element) => fill(element, markup));
  };

  // `take` may handle a key itself and answer true.
  const connect = (address, take) => {
    const stream = new EventSource(address);
    stream.onmessage = (message) => {
      document.body.classList.remove("cut-off");
      const changes = JSON.parse(message.data);
      for (const kind of ["text", "state", "markup"]) {
        for (const [key, value] of Object.entries(changes[kind])) {
          if (take(kind, key, value)) continue;
          if (kind === "text") showText(key, value);
          else if (kind === "state") showState(key, value);
          else showMarkup(key, value);
        }
      }
    };
    stream.onerror = () => {
      document.body.classList.add("cut-off");
      showText("fresh", "page cut off");
      showState("fresh", "bad");
      if (stream.readyState !== EventSource.CLOSED) return;
      // Closed for good: the session may have ended, and then the page itself says so.
      setTimeout(() => fetch(location.pathname, { redirect: "manual" }).then(
        (reply) => (reply.type === "opaqueredirect" ? location.reload() : connect(address, take)),
        () => connect(address, take),
      ), 3000);
    };
    return stream;
  };

  return { each, showText, showState, showMarkup, fill, connect };
})();
