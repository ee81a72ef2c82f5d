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

  const showSnapshot = (camera, number) => {
    Live.each(`img[data-camera="${CSS.escape(camera)}"]`, (image) => {
      if (image.dataset.loading) return;
      const next = new Image();
      image.dataset.loading = "1";
      next.onload = () => { image.src = next.src; delete image.dataset.loading; };
      next.onerror = () => { delete image.dataset.loading; };
      next.src = `/robots/${robot}/snapshot/${camera}?${number}`;
    });
  };

  Live.connect(`/robots/${robot}/stream`, (kind, key, value) => {
    if (kind !== "text" || !key.startsWith("snapshot.")) return false;
    showSnapshot(key.slice(9), value);
    return true;
  });

  const send = async (method, address, body, button, done) => {
    button.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(address, {
        method,
        headers: { "content-type": "application/json", "x-csrf-token": token },
        body: JSON.stringify(body),
      });
      const answer = reply.status === 204 ? {} : await reply.json();
      say(reply.ok && done ? done : answer.message || answer.detail || "no answer", reply.ok);
    } catch {
      say("the fleet cannot be reached", false);
    } finally {
      button.removeAttribute("aria-busy");
    }
  };

  const wish = (path, body, button) => send("POST", `/robots/${robot}/${path}`, body, button);

  document.addEventListener("submit", (event) => {
    const form = event.target, said = new FormData(form), button = form.querySelector("button");
    const upkeep = `/api/v1/robots/${robot}/maintenance`;
    event.preventDefault();
    if (button.getAttribute("aria-busy")) return;
    if (form.dataset.deed === "task") {
      wish("tasks", { skill: said.get("skill"), high_value: said.has("high_value") }, button);
    } else if (form.dataset.deed === "begin") {
      const body = { reason: said.get("reason"), hours: Number(said.get("hours")) };
      send("PUT", upkeep, body, button, "in maintenance");
    } else {
      send("DELETE", upkeep, {}, button, "maintenance has ended");
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || button.disabled || button.getAttribute("aria-busy")) return;
    if (button.dataset.fault) {
      wish("faults", { component: button.dataset.fault, kind: button.dataset.kind }, button);
    } else if (button.dataset.wish) {
      wish(button.dataset.wish, button.dataset.wish === "stop" ? { level: "controlled" } : {}, button);
    }
  });

  Live.each("img[data-camera]", (image) => {
    image.addEventListener("load", () => image.closest(".frame").classList.add("has"));
    if (image.complete && image.naturalWidth) image.closest(".frame").classList.add("has");
  });
  Live.each(".banner", (element) => { element.hidden = element.textContent === ""; });
})();
