// A file of its own: the page's policy allows no inline script.
const place = document.getElementById("documents");

// Its foot would ask another host for the picture of its makers, which the page's policy refuses with an error. Told at once
// that the picture cannot be had, it leaves it out.
const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
const setAttribute = HTMLImageElement.prototype.setAttribute;
const isOurs = (value) => value.startsWith("data:") || new URL(value, location.href).origin === location.origin;
const refuse = (picture) => queueMicrotask(() => picture.dispatchEvent(new Event("error")));
HTMLImageElement.prototype.setAttribute = function (name, value) {
  if (name !== "src" || isOurs(value)) setAttribute.call(this, name, value);
  else refuse(this);
};
Object.defineProperty(HTMLImageElement.prototype, "src", {
  ...source,
  set(value) {
    if (isOurs(value)) source.set.call(this, value);
    else refuse(this);
  },
});

// System fonts: the usual ones would come from another host.
const fontFamily = "system-ui, sans-serif";

Redoc.init(
  place.dataset.descriptionUrl,
  { theme: { typography: { fontFamily, headings: { fontFamily } } } },
  place,
);
