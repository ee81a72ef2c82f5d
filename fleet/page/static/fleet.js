// The fleet's page: rows by name, in the order that the server says.
"use strict";
(() => {
  const body = document.querySelector("[data-rows]");
  const rows = new Map();
  Live.each("[data-row]", (row) => rows.set(row.dataset.row, row));

  const rowOf = (id) => {
    if (!rows.has(id)) {
      const made = document.createElement("tr");
      made.dataset.row = id;
      rows.set(id, made);
    }
    return rows.get(id);
  };

  const order = (text) => {
    const wanted = text ? text.split(" ") : [];
    const keep = new Set(wanted);
    for (const [id, row] of rows) {
      if (!keep.has(id)) { row.remove(); rows.delete(id); }
    }
    wanted.forEach((id, place) => {
      const row = rowOf(id);
      if (body.children[place] !== row) body.insertBefore(row, body.children[place] || null);
    });
  };

  const take = (kind, key, value) => {
    if (kind === "text" && key === "rows") { order(value); return true; }
    if (kind === "markup" && key.startsWith("row.")) {
      Live.fill(rowOf(key.slice(4)), value);
      return true;
    }
    return false;
  };
  Live.connect(`/fleet/stream${location.search}`, (kind, key, value) => {
    if (document.querySelector('[data-b="fresh"]').dataset.state === "bad") {
      Live.showText("fresh", "live");
      Live.showState("fresh", "good");
    }
    return take(kind, key, value);
  });

  document.querySelector(".find select")?.addEventListener("change", (event) => event.target.form.submit());
  document.querySelector(".find [type=checkbox]")?.addEventListener("change", (event) => event.target.form.submit());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    document.getElementById("q").focus();
  });

  const token = document.querySelector('meta[name="csrf-token"]').content;
  const said = document.getElementById("said");
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-approve]");
    if (!button || button.disabled) return;
    button.disabled = true;
    try {
      const reply = await fetch(`/enrolments/${encodeURIComponent(button.dataset.approve)}/approve`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": token },
        body: "{}",
      });
      const answer = await reply.json();
      said.textContent = answer.message || answer.detail || "no answer";
      button.disabled = reply.ok;
      if (reply.ok) button.textContent = "Approved";
    } catch {
      said.textContent = "the fleet cannot be reached";
      button.disabled = false;
    }
  });
})();
