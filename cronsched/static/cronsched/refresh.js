// Keeps the first page fresh: its figures and tables are asked for again while the tick is set and the page is in sight.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const box = document.getElementById("refresh");
  const told = document.getElementById("refreshed");
  const seconds = Number(document.getElementById("now")?.dataset.refresh);
  if (!box || !seconds) return;
  box.checked = localStorage.getItem("refresh") !== "off";
  box.addEventListener("change", () => localStorage.setItem("refresh", box.checked ? "on" : "off"));

  const replace = (fresh, selector) => {
    const [from, to] = [fresh.querySelector(selector), document.querySelector(selector)];
    if (from && to) to.replaceWith(document.importNode(from, true));
  };

  const refresh = async () => {
    // No refresh while the keyboard focus is in the content, or while the page is hidden.
    if (!box.checked || document.hidden || document.getElementById("now").contains(document.activeElement)) return;
    const response = await fetch(location.href, { headers: { "X-Requested-With": "refresh" } });
    if (!response.ok || response.redirected) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    // The charts are drawn once: a canvas would stay empty.
    for (const canvas of fresh.querySelectorAll("#now .console-chart")) canvas.remove();
    const drawn = [...document.querySelectorAll("#now .console-chart")];
    const slots = drawn.map((chart) => chart.parentElement);
    for (const part of [".counters", "#queue", "#pulse"]) replace(fresh, part);
    const tables = [...document.querySelectorAll("#now table")];
    const freshTables = [...fresh.querySelectorAll("#now table")];
    if (tables.length === freshTables.length) {
      tables.forEach((table, n) => table.replaceWith(freshTables[n]));
      // Links that open a dialog.
      freshTables.forEach((table) => htmx.process(table));
    }
    else if (slots.length === 0) location.reload();
    told.textContent = `Fresh at ${new Date().toLocaleTimeString("en-GB")}`;
  };
  setInterval(() => refresh().catch(() => (told.textContent = "The server does not answer.")), seconds * 1000);
});
