// Shows, while a schedule is typed, what it means and when it fires: asked of the same engine that will fire it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("schedule-preview");
  const expression = document.getElementById("id_cron_expression");
  const zone = document.getElementById("id_timezone");
  if (!panel || !expression) return;

  const [words, list] = [panel.querySelector("div"), panel.querySelector("ol")];
  let pending;
  let asked = 0;

  const lines = (tag, texts) => texts.map((text) => Object.assign(document.createElement(tag), { textContent: text }));

  const show = (answer) => {
    const sentences = [answer.description ?? answer.error, answer.hint, ...(answer.warnings ?? [])];
    words.replaceChildren(...lines("p", sentences.filter(Boolean)));
    words.style.color = answer.error ? "#dc2626" : "";
    list.replaceChildren(...lines("li", answer.next_runs ?? []));
  };

  const ask = async () => {
    const turn = ++asked;
    const query = new URLSearchParams({ expression: expression.value, timezone: zone?.value ?? "" });
    const response = await fetch(`${panel.dataset.url}?${query}`);
    // An answer that was overtaken by a later question is of no interest.
    if (response.ok && turn === asked) show(await response.json());
  };

  const askSoon = () => {
    clearTimeout(pending);
    pending = setTimeout(ask, 250);
  };
  expression.addEventListener("input", askSoon);
  zone?.addEventListener("input", askSoon);
  // After a refused form the fields hold what was typed, not what is stored.
  if (expression.value) ask();
});
