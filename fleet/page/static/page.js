// Shows what the server says has changed; sends what a person wishes. Nothing is computed here.
"use strict";
(() => {
  const main = document.getElementById("main");
  const robot = main.dataset.robot;
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const toast = document.querySelector(".toast");
  let toastTimer = 0;

  const say = (text, good) => {
    toast.textContent = text;
    toast.dataset.state = good ? "good" : "bad";
    toast.classList.add("shown");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => toast.classList.remove("shown"), good ? 4000 : 9000);
  };

  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  const showText = (key, text) => {
    if (key.startsWith("snapshot.")) return showSnapshot(key.slice(9), text);
    each(`[data-b="${CSS.escape(key)}"]`, (element) => {
      element.textContent = text;
      if (element.classList.contains("banner")) element.hidden = text === "";
    });
  };

  const showState = (key, state) => {
    each(`[data-b="${CSS.escape(key)}"], [data-b-state="${CSS.escape(key)}"]`, (element) => {
      element.dataset.state = state;
    });
  };

  // Markup is made and escaped by the server; the focus stays where a person has put it.
  const showMarkup = (key, markup) => {
    each(`[data-m="${CSS.escape(key)}"]`, (element) => {
      const focused = element.contains(document.activeElement) && document.activeElement.dataset.key;
      element.innerHTML = markup;
      if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    });
  };

  const showSnapshot = (camera, number) => {
    each(`img[data-camera="${CSS.escape(camera)}"]`, (image) => {
      if (image.dataset.loading) return;
      const next = new Image();
      image.dataset.loading = "1";
      next.onload = () => { image.src = next.src; delete image.dataset.loading; };
      next.onerror = () => { delete image.dataset.loading; };
      next.src = `/robots/${robot}/snapshot/${camera}?${number}`;
    });
  };

  const connect = () => {
    const stream = new EventSource(`/robots/${robot}/stream`);
    stream.onmessage = (message) => {
      document.body.classList.remove("cut-off");
      const changes = JSON.parse(message.data);
      for (const [key, text] of Object.entries(changes.text)) showText(key, text);
      for (const [key, state] of Object.entries(changes.state)) showState(key, state);
      for (const [key, markup] of Object.entries(changes.markup)) showMarkup(key, markup);
    };
    stream.onerror = () => {
      document.body.classList.add("cut-off");
      showText("fresh", "page cut off");
      showState("fresh", "bad");
      if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
    };
  };

  const wish = async (path, body, button) => {
    button.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(`/robots/${robot}/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": token },
        body: JSON.stringify(body),
      });
      const answer = await reply.json();
      say(answer.message || answer.error || answer.detail || "no answer", reply.ok);
    } catch {
      say("the fleet cannot be reached", false);
    } finally {
      button.removeAttribute("aria-busy");
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || button.disabled || button.getAttribute("aria-busy")) return;
    if (button.dataset.fault) {
      wish("faults", { component: button.dataset.fault, kind: button.dataset.kind }, button);
    } else if (button.dataset.wish) {
      wish(button.dataset.wish, button.dataset.wish === "stop" ? { level: "controlled" } : {}, button);
    }
  });

  each("img[data-camera]", (image) => {
    image.addEventListener("load", () => image.closest(".frame").classList.add("has"));
    if (image.complete && image.naturalWidth) image.closest(".frame").classList.add("has");
  });
  each(".banner", (element) => { element.hidden = element.textContent === ""; });
  connect();
})();
