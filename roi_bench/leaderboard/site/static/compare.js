// The compare page: any two runs of one cell, exam by exam, computed here from the scores that the site publishes.
// The same numbers as roi_bench.analysis.paired.compare_paired (target: new problems), with the paired t
// test in place of the permutation test.
(() => {
  'use strict';

  const { UNDEFINED, byId, make, load, fill, digits } = window.roiBench;
  const selects = { cell: byId('cell'), a: byId('a'), b: byId('b') };
  const status = byId('compare-status');
  let cells = [];
  let turn = 0; // answers to an older choice are dropped

  // Statistics.

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  // P(|T| <= t) of Student's t with a whole number of degrees of freedom, by the finite series of Abramowitz & Stegun
  // 1964, 26.7.3 and 26.7.4.
  function withinT(t, freedom) {
    const angle = Math.atan(t / Math.sqrt(freedom));
    const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
    const odd = freedom % 2;
    let term = odd ? cosine : 1;
    let total = freedom > 1 ? term : 0;
    for (let k = odd + 2; k < freedom; k += 2) {
      term *= ((k - 1) / k) * cosine * cosine;
      total += term;
    }
    return odd ? (2 / Math.PI) * (angle + sine * total) : sine * total;
  }

  // The t below which a share of the distribution lies (0.5 < share < 1), by bisection.
  function quantileT(share, freedom) {
    let [low, high] = [0, 1];
    while (withinT(high, freedom) < 2 * share - 1) high *= 2;
    for (let step = 0; step < 200 && high - low > 1e-14 * high; step += 1) {
      const middle = (low + high) / 2;
      if (withinT(middle, freedom) < 2 * share - 1) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  // Ratios of sums of two runs: terms are { numerator, denominator }, one an exam; clusters are names.
  function compare(termsA, termsB, clusters) {
    const count = clusters.length;
    const totals = [termsA, termsB].map((terms) => sum(terms.map((term) => term.denominator)));
    const [a, b] = [termsA, termsB].map((terms, run) =>
      totals[run] === 0 ? null : sum(terms.map((term) => term.numerator)) / totals[run],
    );
    const found = { a, b, difference: null, stderr: null, low: null, high: null, p: null, detectable: null };
    if (a === null || b === null) return found;
    found.difference = a - b;
    const rounding = 1e-12 * (Math.abs(a) + Math.abs(b));
    const sums = new Map();
    for (let exam = 0; exam < count; exam += 1) {
      const ofA = ((termsA[exam].numerator - a * termsA[exam].denominator) / totals[0]) * count;
      const ofB = ((termsB[exam].numerator - b * termsB[exam].denominator) / totals[1]) * count;
      const influence = Math.abs(ofA - ofB) > rounding ? ofA - ofB : 0;
      sums.set(clusters[exam], (sums.get(clusters[exam]) ?? 0) + influence);
    }
    // A difference has influences with mean zero up to rounding; as in estimate_ratio they are centred all the same.
    const mean = sum([...sums.values()]) / count;
    const sizes = new Map();
    for (const name of clusters) sizes.set(name, (sizes.get(name) ?? 0) + 1);
    const squares = sum([...sums].map(([name, value]) => (value - mean * sizes.get(name)) ** 2));
    const groups = sums.size;
    if (groups < 2) return found;
    found.stderr = Math.sqrt((groups / (groups - 1)) * squares) / count;
    const half = quantileT(0.975, groups - 1) * found.stderr;
    [found.low, found.high] = [found.difference - half, found.difference + half];
    if (found.stderr > 0) {
      found.p = 1 - withinT(Math.abs(found.difference) / found.stderr, groups - 1);
      found.detectable = (quantileT(0.975, groups - 1) + quantileT(0.8, groups - 1)) * found.stderr;
    } else {
      // All clusters agree: the p of swapping the labels of each cluster, as many_runs.py has it.
      found.p = Math.abs(found.difference) <= rounding ? 1 : 2 ** (1 - groups);
    }
    return found;
  }

  // Reading.

  function scoresOf(run, data, set) {
    const own = data.runs[run.slug];
    const ids = own.exams ?? set.exams;
    return new Map(ids.map((exam, place) => [exam, { score: own.scores[place], easy: own.scores_easy[place] }]));
  }

  async function show() {
    const now = (turn += 1);
    const cell = cells[selects.cell.selectedIndex];
    const runs = [selects.a, selects.b].map((select) => cell.runs[select.selectedIndex]);
    writeState(cell, runs);
    byId('results').hidden = true;
    if (cell.runs.length < 2) return say('Only one run sat this; choose another cell.');
    if (runs[0] === runs[1]) return say('Choose two different runs.');
    say('Reading the scores …');
    try {
      const [set, ...data] = await Promise.all([
        load(`data/exams/${cell.set}.json`),
        ...runs.map((run) => load(`models/${encodeURIComponent(run.id)}/data.json`)),
      ]);
      if (now === turn) draw(cell, runs, data, set);
    } catch (error) {
      if (now === turn) say(`The scores could not be read (${error.message}).`);
    }
    return undefined;
  }

  // Writing.

  function say(text) {
    status.textContent = text;
  }

  // Where there is nothing to choose from, lists without a choice would only ask for one.
  function sayOnly(text) {
    byId('choice').hidden = true;
    say(text);
  }

  function number(name, value, places = 3) {
    if (value === null) return make('span', {}, UNDEFINED);
    const shown = name === 'p' && value < 0.0001 ? '< 0.0001' : digits(value, places);
    return make('data', { value: String(value), className: name }, shown);
  }

  function resultRow(title, found) {
    const row = make('tr', { id: `result-${title}` }, make('th', { scope: 'row' }, title));
    const interval = make('td', {});
    if (found.low === null) interval.append(UNDEFINED);
    else interval.append(number('low', found.low), ' to ', number('high', found.high));
    row.append(
      make('td', {}, number('a', found.a)),
      make('td', {}, number('b', found.b)),
      make('td', {}, number('difference', found.difference)),
      interval,
      make('td', {}, number('stderr', found.stderr, 4)),
      make('td', {}, number('p', found.p, 4)),
      make('td', {}, number('detectable', found.detectable)),
    );
    return row;
  }

  // Both runs' responses to an exam, side by side.
  function readLink(cell, runs, exam) {
    const query = new URLSearchParams({ cell: cell.slug, a: valueOf(runs[0]), b: valueOf(runs[1]), exam });
    const link = make('a', { href: `read.html?${query.toString().replaceAll('%2F', '/')}` }, 'read both');
    link.setAttribute('aria-label', `Read both responses to ${exam}`);
    return link;
  }

  function shortScore(value) {
    return Number.isInteger(value) ? String(value) : digits(value, 2);
  }

  // What became of the three problems, in words.
  function lettersOf(run, data, set, exam) {
    const own = data.runs[run.slug];
    const place = (own.exams ?? set.exams).indexOf(exam);
    return [...own.outcomes.slice(3 * place, 3 * place + 3)].map((letter) => window.roiBench.OUTCOMES[letter] ?? letter).join(', ');
  }

  function draw(cell, runs, data, set) {
    const [a, b] = runs.map((run, index) => scoresOf(run, data[index], set));
    const exams = [...a.keys()].filter((exam) => b.has(exam));
    if (!exams.length) return say('The two runs have no exam in common.');
    const cluster = new Map(set.exams.map((exam, place) => [exam, set.clusters[place]]));
    const clusters = exams.map((exam) => cluster.get(exam));
    const terms = (scores, term) => exams.map((exam) => term(scores.get(exam)));
    const score = ({ score: own }) => ({ numerator: own, denominator: 1 });
    const regret = ({ score: own, easy }) => ({ numerator: easy - own, denominator: easy });
    byId('result-rows').replaceChildren(
      resultRow('score', compare(terms(a, score), terms(b, score), clusters)),
      resultRow('regret', compare(terms(a, regret), terms(b, regret), clusters)),
    );
    const better = (x, y) => exams.filter((exam) => x.get(exam).score > y.get(exam).score).length;
    const discordant = exams.filter((exam) => a.get(exam).score !== b.get(exam).score);
    byId('discordant-title').textContent = `Exams with different scores: ${discordant.length} of ${exams.length}`;
    byId('discordant-split').textContent =
      `A is better in ${better(a, b)}, B in ${better(b, a)}; the others cancel out of the difference. ` +
      `The exams fall into ${new Set(clusters).size} clusters.`;
    byId('discordant-rows').replaceChildren(
      ...discordant.map((exam) =>
        make(
          'tr',
          {},
          make('th', { scope: 'row' }, exam),
          make('td', {}, shortScore(a.get(exam).score)),
          make('td', {}, shortScore(b.get(exam).score)),
          make('td', { className: 'letters' }, lettersOf(runs[0], data[0], set, exam)),
          make('td', { className: 'letters' }, lettersOf(runs[1], data[1], set, exam)),
          make('td', {}, readLink(cell, runs, exam)),
        ),
      ),
    );
    byId('results').hidden = false;
    return say(`A: ${runs[0].name}. B: ${runs[1].name}.`);
  }

  // Choosing, and the state in the address.

  const valueOf = (run) => `${run.id}/${run.prompt}`;

  function fillRuns(wantedA, wantedB) {
    const { runs } = cells[selects.cell.selectedIndex];
    const [values, labels] = [runs.map(valueOf), runs.map((run) => run.name)];
    fill(selects.a, values, labels, wantedA, 0);
    const other = runs.findIndex((run, place) => place !== selects.a.selectedIndex && run.responses !== runs[selects.a.selectedIndex].responses);
    fill(selects.b, values, labels, wantedB, other >= 0 ? other : selects.a.selectedIndex === 0 ? 1 : 0);
  }

  function writeState(cell, [a, b]) {
    const query = new URLSearchParams({ cell: cell.slug, a: valueOf(a), b: valueOf(b) });
    history.replaceState(null, '', `${location.pathname}?${query.toString().replaceAll('%2F', '/')}${location.hash}`);
  }

  async function start() {
    if (location.protocol === 'file:') {
      return sayOnly('A page opened as a file may not read other files: look at the site with roi-bench leaderboard serve SITE.');
    }
    try {
      ({ cells } = await load('data/models.json'));
    } catch (error) {
      return sayOnly(`The list of runs could not be read (${error.message}).`);
    }
    if (!cells.length) return sayOnly('This board has no runs yet.');
    const query = new URLSearchParams(location.search);
    const enough = cells.findIndex((cell) => cell.runs.length > 1);
    fill(selects.cell, cells.map((cell) => cell.slug), cells.map((cell) => cell.title), query.get('cell'), Math.max(0, enough));
    fillRuns(query.get('a'), query.get('b'));
    selects.cell.addEventListener('change', () => {
      fillRuns(selects.a.value, selects.b.value);
      show();
    });
    for (const select of [selects.a, selects.b]) select.addEventListener('change', show);
    byId('swap').addEventListener('click', () => {
      [selects.a.selectedIndex, selects.b.selectedIndex] = [selects.b.selectedIndex, selects.a.selectedIndex];
      show();
    });
    for (const control of [...Object.values(selects), byId('swap')]) control.disabled = false;
    return show();
  }

  start();
})();
