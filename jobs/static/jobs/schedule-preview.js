// Shows, while a schedule is typed, what it means and when it fires: asked of the same engine that will fire it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("schedule-preview");
  const expression = document.getElementById("id_cron_expression");
  const zone = document.getElementById("id_timezone");
  const end = document.getElementById("id_end_date");
  if (!panel || !expression) return;

  const [words, list] = [panel.querySelector("div"), panel.querySelector("ol")];
  let pending;
  let asked = 0;

  const lines = (tag, texts) => texts.map((text) => Object.assign(document.createElement(tag), { textContent: text }));

  const show = (answer) => {
    const sentences = [answer.description ?? answer.error, answer.hint, ...(answer.warnings ?? []), panel.dataset.idle];
    words.replaceChildren(...lines("p", sentences.filter(Boolean)));
    words.classList.toggle("refused", Boolean(answer.error));
    list.replaceChildren(...lines("li", answer.next_runs ?? []));
  };

  const ask = async () => {
    const turn = ++asked;
    const given = { expression: expression.value, timezone: zone?.value ?? "", end_date: end?.value ?? "" };
    const response = await fetch(`${panel.dataset.url}?${new URLSearchParams(given)}`);
    // An answer that was overtaken by a later question is of no interest.
    if (response.ok && turn === asked) show(await response.json());
  };

  const askSoon = () => {
    clearTimeout(pending);
    pending = setTimeout(ask, 250);
  };
  for (const field of [expression, zone, end]) field?.addEventListener("input", askSoon);
  // After a refused form the fields hold what was typed, not what is stored.
  if (expression.value) ask();
});
