// Approves a robot that asks to be enrolled, and says what came of it.
"use strict";
(() => {
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
      said.textContent = answer.message || answer.error || answer.detail || "no answer";
      button.disabled = reply.ok;
      if (reply.ok) button.textContent = "Approved";
    } catch {
      said.textContent = "the fleet cannot be reached";
      button.disabled = false;
    }
  });
})();
