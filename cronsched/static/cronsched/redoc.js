// A file of its own: the page's policy allows no inline script.
const place = document.getElementById("documents");

// System fonts: the usual ones would come from another host.
const fontFamily = "system-ui, sans-serif";

Redoc.init(
  place.dataset.descriptionUrl,
  { theme: { typography: { fontFamily, headings: { fontFamily } } } },
  place,
);
