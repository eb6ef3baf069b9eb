// Makes or uses a passkey (Web Authentication) and sends what the browser answers with the form.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("passkey-form");
  const trouble = document.getElementById("passkey-trouble");
  const options = JSON.parse(document.getElementById("passkey-options").textContent);
  const makes = form.dataset.verb === "create";

  const answer = () =>
    makes
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });

  const reason = (error) => {
    if (location.origin !== form.dataset.origin) return `Passkeys work at ${form.dataset.origin} only.`;
    if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) return "This browser knows no passkeys.";
    if (error.name === "InvalidStateError") return "This device has a passkey of yours already.";
    return "The browser did not take it, or you have cancelled. Try it again.";
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    try {
      form.elements.passkey.value = JSON.stringify((await answer()).toJSON());
      form.submit();
    } catch (error) {
      trouble.textContent = reason(error);
    }
  });
});
