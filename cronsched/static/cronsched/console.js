// What the theme's pages lack for the keyboard and for screen readers.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  // The theme hides tabs that find no room in a menu that no key opens, and brings them back one at each change of the
  // window's size. Without the menu they take a second line.
  document.getElementById("tabs-dropdown")?.parentElement.remove();

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
    page.inert = true;
    const first = content.querySelector("input:not([type=hidden]), textarea, select, button[type=submit]");
    first?.focus();
  };

  const closed = () => {
    page.inert = false;
    opener?.focus();
    opener = null;
  };

  document.addEventListener("click", (event) => {
    if (page.contains(event.target)) opener = event.target.closest("a, button, [role=button]") ?? opener;
  });
  // The theme shows and hides the dialog by its style; what it holds comes later.
  const frame = content.parentElement;
  new MutationObserver(() => {
    const isOpen = getComputedStyle(frame).display !== "none" && content.querySelector("#dialog") !== null;
    if (isOpen && !page.inert) opened();
    else if (!isOpen && page.inert) closed();
  }).observe(frame, { attributes: true, attributeFilter: ["style"], childList: true, subtree: true });
});
