// One line at the foot of the page: what an action led to. It goes away by itself.
const STAYS = 5000;
let timer = 0;

export function say(text, bad = false) {
  const line = document.getElementById("said");
  line.textContent = text;
  line.classList.toggle("bad", bad);
  clearTimeout(timer);
  timer = setTimeout(() => { line.textContent = ""; }, bad ? 2 * STAYS : STAYS);
}
