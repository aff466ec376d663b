// Without this the page works too: choose files, press the button. With it: drop anywhere, no button, a word while it works.
const form = document.querySelector("form");
const input = document.getElementById("photos");
const says = document.getElementById("says");
const limit = { files: Number(form.dataset.files), bytes: Number(form.dataset.bytes) };

function send(event) {
  if (event) event.preventDefault();
  const files = [...input.files];
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (!files.length) {
    says.textContent = "No photo was chosen.";
  } else if (files.length > limit.files || bytes > limit.bytes) {
    says.textContent = `Too much at once: at most ${limit.files} photos and ${limit.bytes / 1e6} MB together.`;
    input.value = "";
  } else {
    says.textContent = files.length === 1 ? "Looking at the photo …" : `Looking at ${files.length} photos …`;
    form.classList.add("busy");
    form.submit();
  }
}

input.addEventListener("change", () => send());
form.addEventListener("submit", send);
addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
addEventListener("dragleave", () => form.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  if (items.some((entry) => entry && entry.isDirectory)) {
    says.textContent = "This is a folder: drop the photos that it contains.";
  } else if (event.dataTransfer.files.length) {
    input.files = event.dataTransfer.files;
    send();
  }
});
// back from the answers: the browser may show the page as it was left
addEventListener("pageshow", () => form.classList.remove("busy"));
form.classList.add("script");
