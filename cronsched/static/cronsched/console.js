// What the theme's pages lack for the keyboard and for screen readers.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // The theme hides tabs that find no room in a menu that no key opens, and brings them back one at each change of the
  // window's size. Without the menu they take a second line.
  document.getElementById("tabs-dropdown")?.parentElement.remove();

  // The theme writes a chosen file's name into the next text field, which its own widget has for that and ours has not.
  for (const input of document.querySelectorAll("input[type=file]")) input.hasChangeListener = true;

  // A browser gives up on the attribute where something else on the page took or lost the focus before it came to it.
  window.addEventListener("load", () => {
    if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
  });

  // Names of icons are drawn as pictures; read aloud they are words that mean nothing.
  const hideIcons = (root) => {
    for (const icon of root.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
      icon.setAttribute("aria-hidden", "true");
    }
  };
  hideIcons(document);

  // Links and buttons that are a picture only.
  const names = new Map([
    ["searchbar-submit", "Search"],
    ["command-submit", "Search"],
    ["search-input-command", "Jobs, people, teams, pages and acts"],
  ]);
  const home = document.querySelector("#nav-sidebar-inner a");
  home?.setAttribute("aria-label", "To the first page");
  for (const [id, name] of names) document.getElementById(id)?.setAttribute("aria-label", name);
  for (const link of document.querySelectorAll("a, button")) {
    const text = [...link.childNodes].filter((node) => node.ariaHidden !== "true").map((node) => node.textContent);
    if (!text.join("").trim() && !link.hasAttribute("aria-label")) link.setAttribute("aria-label", link.title || "More");
  }

  const content = document.getElementById("modal-content");
  const page = document.getElementById("page");
  if (!content || !page) return;
  let opener = null;

  const opened = () => {
    hideIcons(content);
    content.setAttribute("role", "dialog");
    content.setAttribute("aria-modal", "true");
    const title = content.querySelector("h1");
    if (title) {
      title.id = "dialog-title";
      content.setAttribute("aria-labelledby", title.id);
    }
    const close = content.querySelector(".text-icon-action");
    if (close) {
      close.setAttribute("role", "button");
      close.setAttribute("tabindex", "0");
      close.setAttribute("aria-label", "Close");
      close.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") close.click();
      });
    }
    const first = content.querySelector("input:not([type=hidden]), textarea, select, button[type=submit]");
    first?.focus();
  };

  // What lies over the page holds the focus, and gives it back to what opened it. The theme shows and hides it by its
  // style; what a dialog holds comes later.
  const watch = (frame, isOpen, opened) => {
    let was = false;
    new MutationObserver(() => {
      const is = getComputedStyle(frame).display !== "none" && isOpen();
      if (is === was) return;
      was = is;
      page.inert = is;
      if (is) {
        opened();
      } else {
        opener?.focus();
        opener = null;
      }
    }).observe(frame, { attributes: true, attributeFilter: ["style"], childList: true, subtree: true });
  };
  watch(content.parentElement, () => content.querySelector("#dialog") !== null, opened);

  const palette = document.getElementById("search-input-command")?.closest(".fixed");
  if (palette) {
    palette.setAttribute("role", "dialog");
    palette.setAttribute("aria-modal", "true");
    palette.setAttribute("aria-label", "Search");
    watch(palette, () => true, () => {
      hideIcons(palette);
      // The theme focuses its field before it can be seen, when the palette is opened again while it fades away.
      document.getElementById("search-input-command").focus();
    });
  }

  document.addEventListener("click", (event) => {
    if (page.contains(event.target)) opener = event.target.closest("a, button, [role=button]") ?? opener;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "k" && page.contains(document.activeElement)) opener = document.activeElement;
  }, true);
});
