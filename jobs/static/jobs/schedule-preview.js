// Shows, while a schedule is typed, what it means and when it fires: asked of the same engine that will fire it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("schedule-preview");
  const expression = document.getElementById("id_cron_expression");
  const zone = document.getElementById("id_timezone");
  const end = document.getElementById("id_end_date");
  if (!panel || !expression) return;

  const [words, list] = [panel.querySelector("div"), panel.querySelector("ol")];
  const heading = (text) => Object.assign(document.createElement("p"), { textContent: text });
  // Beside what is typed stands what is stored; below both, what becomes of runs that are due.
  const [title, old, due] = [heading("Once it is saved:"), document.createElement("div"), heading("")];
  const stored = document.createElement("ol");
  old.append(heading("As it is stored:"), stored);
  const typed = document.createElement("div");
  list.replaceWith(typed);
  typed.append(title, list);
  typed.after(old);
  panel.append(due);
  const compare = (isEdited) => {
    for (const part of [title, old, due]) part.hidden = !isEdited;
  };
  compare(false);
  let pending;
  let asked = 0;

  const lines = (tag, texts) => texts.map((text) => Object.assign(document.createElement(tag), { textContent: text }));

  const show = (answer) => {
    const sentences = [answer.description ?? answer.error, answer.hint, ...(answer.warnings ?? []), panel.dataset.idle];
    words.replaceChildren(...lines("p", sentences.filter(Boolean)));
    words.classList.toggle("refused", Boolean(answer.error));
    const [before, after] = [answer.before ?? answer.next_runs ?? [], answer.next_runs ?? []];
    const marked = (texts, others, mark) => lines("li", texts).map((line) => {
      if (answer.before && !others.includes(line.textContent)) line.className = mark;
      return line;
    });
    list.replaceChildren(...marked(after, before, "run-new"));
    stored.replaceChildren(...marked(before, after, "run-gone"));
    due.textContent = answer.due ?? "";
    compare(Boolean(answer.before));
  };

  const ask = async () => {
    const turn = ++asked;
    const given = { expression: expression.value, timezone: zone?.value ?? "", end_date: end?.value ?? "" };
    const address = new URL(panel.dataset.url, location.href);
    for (const [name, text] of Object.entries(given)) address.searchParams.set(name, text);
    const response = await fetch(address);
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

// What concerns another kind of target is out of sight while it is blank.
document.addEventListener("DOMContentLoaded", () => {
  const field = (name) => document.getElementById(`id_${name}`);
  const address = field("target_url");
  const github = ["github_owner", "github_repo", "github_workflow_name"].map(field);
  const request = ["webhook_method", "webhook_headers", "secret_headers", "webhook_body"].map(field);
  if (!address || github.includes(null) || request.includes(null)) return;
  const blank = (input) => ["", "{}", "null"].includes(input.value.trim());
  const rows = (inputs, isHidden) => {
    for (const input of inputs) input.closest("[class*='field-']")?.toggleAttribute("hidden", isHidden);
  };
  const sort = () => {
    const [isWebhook, isGitHub] = [!blank(address), !github.every(blank)];
    rows([...github, field("track_run")], isWebhook && !isGitHub);
    rows(request, isGitHub && !isWebhook && request.every(blank));
  };
  for (const input of [address, ...github]) input.addEventListener("change", sort);
  sort();
});
