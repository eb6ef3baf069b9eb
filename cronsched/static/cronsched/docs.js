// A file of its own: the page's policy allows no inline script.
const place = document.getElementById("documents");

SwaggerUIBundle({
  url: place.dataset.descriptionUrl,
  domNode: place,
  deepLinking: true,
  // Keeps the token over a reload, in this browser only.
  persistAuthorization: true,
  // The badge would send the description to a validator on the internet.
  validatorUrl: null,
});
