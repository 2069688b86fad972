// A zip goes to the server as it is, past Gradio, whose uploads take pictures and sounds only.
const say = (text) => { element.querySelector('.way').textContent = text; };
element.addEventListener('change', (event) => {
  const file = event.target.files && event.target.files[0];
  event.target.value = '';
  if (!file) return;
  const request = new XMLHttpRequest();
  request.open('POST', 'library/import');
  request.upload.onprogress = (sent) => {
    const share = sent.total ? Math.floor(100 * sent.loaded / sent.total) : 0;
    say(share < 100 ? 'Sending, ' + share + ' %' : 'Checking what is in it');
  };
  request.onload = () => {
    say('');
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { answer = {error: request.responseText}; }
    trigger('click', {act: 'arrived', answer: request.status === 200 ? answer : {error: answer.error || 'It did not work'}});
  };
  request.onerror = () => say('The connection broke off; try again.');
  say('Sending');
  request.send(file);
});
