// The responses of one run, or of two side by side, to one exam: read from the files that were submitted.
(() => {
  'use strict';

  const { UNDEFINED, OUTCOMES, byId, make, load, loadResponses, fill, digits, visible } = window.roiBench;
  const selects = { cell: byId('cell'), a: byId('a'), b: byId('b'), exam: byId('exam') };
  const differ = byId('differ');
  const status = byId('read-status');
  const NONE = '';
  let cells = [];
  let shown = { exams: [], sides: [] };
  let wanted = new URLSearchParams(location.search).get('exam'); // stays where other runs lack it
  let turn = 0; // answers to an older choice are dropped

  const say = (text) => {
    status.textContent = text;
  };
  const valueOf = (run) => `${run.id}/${run.prompt}`;
  const cellNow = () => cells[selects.cell.selectedIndex];

  // A run as an address names it; one that stands in no table any more can still be read.
  function runOf(value) {
    const found = cellNow().runs.find((run) => valueOf(run) === value);
    const [id, prompt] = value.split('/');
    return found ?? { id, prompt, slug: `${cellNow().slug}_${prompt}`, name: `${id} \u00b7 ${prompt}` };
  }

  async function sideOf(value) {
    const run = runOf(value);
    const folder = `models/${encodeURIComponent(run.id)}`;
    const [data, set] = await Promise.all([load(`${folder}/data.json`), load(`data/exams/${cellNow().set}.json`)]);
    const own = data.runs[run.slug];
    if (!own) throw new Error(`${run.name} did not sit these exams`);
    const ids = own.exams ?? set.exams;
    const file = `${folder}/responses/${own.task}.jsonl.gz`;
    return { run, own, folder, file, pages: data.pages, places: new Map(ids.map((exam, place) => [exam, place])) };
  }

  const scoreOf = (side, exam) => side.own.scores[side.places.get(exam)];
  const shortScore = (value) => (Number.isInteger(value) ? String(value) : digits(value, 2));

  // Choosing: first the runs, then the exams that all of them sat.

  async function showRuns() {
    const now = (turn += 1);
    say('Reading the scores \u2026');
    try {
      const values = [selects.a.value, selects.b.value].filter((value) => value !== NONE);
      if (!values.length) {
        byId('responses').replaceChildren();
        selects.exam.replaceChildren();
        return say('No run of these exams stands in a table or in the archive; its own page leads here.');
      }
      const sides = await Promise.all([...new Set(values)].map(sideOf));
      if (now !== turn) return;
      const common = [...sides[0].places.keys()].filter((exam) => sides.every((side) => side.places.has(exam)));
      byId('differ-choice').hidden = sides.length < 2;
      const differing = common.filter((exam) => sides.length < 2 || scoreOf(sides[0], exam) !== scoreOf(sides[1], exam));
      const exams = differ.checked && sides.length > 1 ? differing : common;
      shown = { exams, sides };
      if (!exams.length) {
        byId('responses').replaceChildren();
        selects.exam.replaceChildren();
        say('There is no such exam; choose others.');
        return;
      }
      const label = (exam) => `${exam} (${sides.map((side) => shortScore(scoreOf(side, exam))).join(' and ')} correct)`;
      fill(selects.exam, exams, exams.map(label), wanted, 0);
      await showExam();
    } catch (error) {
      if (now === turn) say(`The responses could not be read (${error.message}).`);
    }
  }

  async function showExam() {
    const now = (turn += 1);
    const { exams, sides } = shown;
    const exam = selects.exam.value;
    wanted = exam;
    writeState(exam);
    byId('before').disabled = selects.exam.selectedIndex <= 0;
    byId('after').disabled = selects.exam.selectedIndex >= exams.length - 1;
    say('Reading the responses \u2026');
    try {
      const files = await Promise.all(sides.map((side) => loadResponses(side.file)));
      if (now !== turn) return;
      const drawn = sides.map((side, place) => draw(side, exam, rowOf(side, exam, files[place])));
      byId('responses').replaceChildren(...drawn);
      say(`Exam ${exam}, ${selects.exam.selectedIndex + 1} of ${exams.length}.`);
    } catch (error) {
      if (now === turn) say(`The responses could not be read (${error.message}).`);
    }
  }

  function rowOf(side, exam, responses) {
    const found = responses.get(exam);
    if (!found) throw new Error(`${side.file} has no ${exam}`);
    return found;
  }

  // Drawing: every text is set as text.

  function outcomes(side, exam) {
    const place = 3 * side.places.get(exam);
    const letters = [...side.own.outcomes.slice(place, place + 3)];
    const chips = letters.map((letter, k) => {
      const name = OUTCOMES[letter] ?? UNDEFINED;
      return make('li', {}, `problem ${k + 1} `, make('span', { className: `outcome ${name}` }, name));
    });
    return make('ul', { className: 'outcomes' }, ...chips);
  }

  function titleOf(side, request) {
    if (side.own.form === 'knapsack') return `${['Easy', 'Middle', 'Hard'][request]} problem, asked alone`;
    return request === 0 ? `${side.own.order} order` : 'easy order';
  }

  function draw(side, exam, requests) {
    const title = make('h2', {}, make('a', { href: `${side.folder}/index.html` }, visible(side.run.name)));
    const summary = make('p', {}, `${shortScore(scoreOf(side, exam))} of 3 correct, `);
    summary.append(make('a', { href: side.file, download: '' }, 'all responses of this run'));
    if (side.pages.includes(exam)) {
      const page = `${side.folder}/exams/${exam.replaceAll('/', '-')}.html#${side.run.slug}`;
      summary.append(', ', make('a', { href: page }, 'page with problems and marks'));
    }
    const articles = requests.flatMap((samples, request) =>
      samples.map((response, sample) => {
        const many = samples.length > 1 ? `, sample ${sample + 1} of ${samples.length}` : '';
        const { usage } = response;
        const spent = usage ? `${usage.tokens} tokens${usage.finish_reason ? `, ended: ${usage.finish_reason}` : ''}` : 'tokens unknown';
        const text = make('pre', { dir: 'auto' }, response.text === null ? '(no response)' : visible(response.text) || '(empty)');
        return make('article', { className: 'response' }, make('h3', {}, titleOf(side, request) + many), make('p', { className: 'summary' }, spent), text);
      }),
    );
    return make('section', { className: 'side' }, title, summary, outcomes(side, exam), ...articles);
  }

  // The state in the address.

  function writeState(exam) {
    const query = new URLSearchParams({ cell: cellNow().slug, a: selects.a.value });
    if (selects.b.value !== NONE) query.set('b', selects.b.value);
    query.set('exam', exam);
    history.replaceState(null, '', `${location.pathname}?${query.toString().replaceAll('%2F', '/')}`);
  }

  function fillRuns(wantedA, wantedB) {
    const { runs } = cellNow();
    const extra = [wantedA, wantedB].filter((value) => /^[a-z0-9-]+\/[a-z0-9_]+$/.test(value ?? ''));
    const values = [...new Set([...runs.map(valueOf), ...extra])];
    const labels = values.map((value) => runOf(value).name);
    fill(selects.a, values, labels, wantedA, 0);
    fill(selects.b, [NONE, ...values], ['none', ...labels], wantedB ?? NONE, 0);
  }

  function step(by) {
    selects.exam.selectedIndex += by;
    showExam();
  }

  async function start() {
    if (location.protocol === 'file:') {
      byId('choice').hidden = true;
      return say('A page opened as a file may not read other files: look at the site with roi-bench leaderboard serve SITE.');
    }
    try {
      const models = await load('data/models.json');
      cells = [...models.cells, ...models.left];
    } catch (error) {
      return say(`The list of runs could not be read (${error.message}).`);
    }
    if (!cells.length) return say('This board has no runs yet.');
    const query = new URLSearchParams(location.search);
    fill(selects.cell, cells.map((cell) => cell.slug), cells.map((cell) => cell.title), query.get('cell'), 0);
    fillRuns(query.get('a'), query.get('b'));
    selects.cell.addEventListener('change', () => {
      fillRuns(selects.a.value, selects.b.value || null);
      showRuns();
    });
    for (const control of [selects.a, selects.b, differ]) control.addEventListener('change', showRuns);
    selects.exam.addEventListener('change', showExam);
    byId('before').addEventListener('click', () => step(-1));
    byId('after').addEventListener('click', () => step(1));
    for (const control of [...Object.values(selects), differ]) control.disabled = false;
    return showRuns();
  }

  start();
})();
