"use strict";
// Undo and redo by keyboard, except where somebody is typing: there the browser's own undo is meant.
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z") return;
  const typing = event.target.matches("input:not([type=range]), textarea");
  const button = document.getElementById(event.shiftKey ? "redo" : "undo");
  if (typing || !button || button.disabled) return;
  event.preventDefault();
  button.click();
});

// The library's drop-downs hide what takes the focus from who hears the page; the button beside it takes it instead.
new MutationObserver(() => {
  for (const hidden of document.querySelectorAll(".dash-dropdown-focus-target[tabindex='0']")) {
    hidden.tabIndex = -1;
    if (hidden.nextElementSibling) hidden.nextElementSibling.tabIndex = 0;
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// The library keeps the place of the caret in every input that it changes; a slider has none, and browsers object.
const select = HTMLInputElement.prototype.setSelectionRange;
HTMLInputElement.prototype.setSelectionRange = function (...place) {
  if (this.type !== "range") select.apply(this, place);
};
