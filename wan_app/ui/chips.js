const box = () => element.closest('.tabitem')?.querySelector('.prompt textarea');
const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
// Which names stand in the prompt, as the server reads them: whole words, written as in the cast.
const mark = () => {
  const text = box()?.value || '';
  element.querySelectorAll('.chip').forEach((chip) => {
    const name = new RegExp('(?<![\\p{L}\\p{N}_])' + literal(chip.dataset.name) + '(?![\\p{L}\\p{N}\\p{M}_])', 'u');
    chip.setAttribute('aria-pressed', name.test(text));
  });
};
element.addEventListener('click', (event) => {
  const chip = event.target.closest('.chip'), area = box();
  if (!chip || !area) return;
  const at = area.selectionStart ?? area.value.length, to = area.selectionEnd ?? at;
  const before = area.value.slice(0, at), after = area.value.slice(to);
  const word = (before && !/\s$/.test(before) ? ' ' : '') + chip.dataset.name + (/^\s/.test(after) ? '' : ' ');
  area.value = before + word + after;
  area.dispatchEvent(new Event('input', {bubbles: true}));
  area.focus();
  area.setSelectionRange(at + word.length, at + word.length);
});
document.addEventListener('input', (event) => { if (event.target === box()) mark(); });
watch('value', mark);
// Examples and settings that are used again change the prompt without a key being pressed.
setInterval(() => { if (element.offsetParent) mark(); }, 700);
