// Comforts of the pages: the theme, and for the table #board sorting, filters, columns, downloads and the state in the
// address. Nothing here is needed to read a page. Loaded before the page is drawn, so that nothing moves afterwards.
(() => {
  'use strict';

  const root = document.documentElement;
  root.classList.add('js');
  // A table that the address asks to be filtered or sorted is shown once it is; see controls.css.
  root.classList.toggle('pending', location.search !== '');

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // Theme: what the system says unless the reader chose another; private windows may refuse to remember it.

  const THEME = 'roi-bench-theme';

  function setTheme(name) {
    if (name === 'light' || name === 'dark') root.dataset.theme = name;
    else delete root.dataset.theme;
  }

  function rememberedTheme() {
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null;
    }
  }

  function addTheme(place) {
    const names = ['system', 'light', 'dark'];
    const select = make('select', { id: 'theme-choice' }, ...names.map((name) => make('option', {}, name)));
    select.value = root.dataset.theme ?? 'system';
    select.addEventListener('change', () => {
      setTheme(select.value);
      try {
        localStorage.setItem(THEME, select.value);
      } catch {
        // The choice then lasts as long as the page.
      }
    });
    place.append(make('label', { htmlFor: select.id }, 'Theme'), select);
    place.hidden = false;
  }

  setTheme(rememberedTheme());

  const narrow = () => matchMedia('(max-width: 40rem)').matches;

  // What a cell says.

  const UNITS = { k: 1e3, M: 1e6, B: 1e9, G: 1e9, T: 1e12 };

  function textOf(node) {
    // A place where a line may end (<wbr>) is no space; any other element stands apart from what is beside it.
    const part = (child) => (child.nodeType === Node.TEXT_NODE ? child.data : child.tagName === 'WBR' ? '' : ` ${textOf(child)} `);
    return [...node.childNodes].map(part).join('').replace(/\s+/g, ' ').trim();
  }

  function plain(text) {
    return text.replace(/\u2212/g, '-').replace(/(\d)[,\u2009\u202f](?=\d{3}(?!\d))/g, '$1');
  }

  // The leading number, 1.5 B being 1.5e9; null where there is none.
  function numberIn(text) {
    const found = plain(text).match(/^[^\w.\u2013-]*(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?) ?([kMBGT]\b)?/);
    return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : null;
  }

  // As exporters/tables.py: an apostrophe wherever a spreadsheet would read a text, or a part of it, as a formula.
  function harmless(value) {
    return typeof value === 'string' ? value.replace(/(^|[;\t\r\n])(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])/g, "$1'") : String(value ?? '');
  }

  // Filters: which column each reads, and whether a cell passes.

  const FILTERS = [
    { key: 'q', label: 'Search', type: 'search', column: null },
    { key: 'outcome', label: 'Outcome', type: 'outcome', column: null },
    { key: 'prompt', label: 'Prompt', type: 'select', column: 'prompt' },
    { key: 'provider', label: 'Provider', type: 'select', column: 'provider' },
    { key: 'open', label: 'Open weights', type: 'select', column: 'open' },
    { key: 'badge', label: 'Badge', type: 'select', column: 'badge' },
    { key: 'engine', label: 'Engine', type: 'select', column: 'engine' },
    { key: 'tokens_checked', label: 'Tokens', type: 'select', column: 'tokens_checked' },
    { key: 'size_from', label: 'Size from (B)', type: 'number', column: 'size' },
    { key: 'size_to', label: 'Size to (B)', type: 'number', column: 'size' },
    { key: 'since', label: 'Since', type: 'date', column: 'date' },
    // In a list of exams these columns are words: outcomes, with more behind them.
    ...[1, 2, 3].map((k) => ({ key: `p${k}`, label: `Problem ${k}`, type: 'word', column: `p${k}` })),
  ];

  // Outcomes that the cells of problems begin with or, of several samples, count.
  const OUTCOMES = ['correct', 'wrong', 'skipped', 'truncated', 'unanswered', 'empty', 'error'];
  const wordsIn = (text) => text.match(/[a-z]{2,}/g) ?? [];
  const chosen = (filter) => ['select', 'word', 'outcome'].includes(filter.type);

  function passes(filter, wanted, text) {
    if (filter.type === 'select') return text === wanted;
    if (filter.type === 'word' || filter.type === 'outcome') return wordsIn(text).includes(wanted);
    if (filter.type === 'date') return /^\d{4}-/.test(text) && text >= wanted;
    if (filter.type === 'search') {
      const found = text.toLowerCase();
      return wanted.toLowerCase().split(/\s+/).every((word) => found.includes(word));
    }
    const size = numberIn(text);
    if (size === null) return false;
    return filter.key === 'size_from' ? size >= Number(wanted) * 1e9 : size <= Number(wanted) * 1e9;
  }

  function isKnown(filter, input, wanted) {
    if (chosen(filter)) return [...input.options].some((option) => option.value === wanted);
    if (filter.type === 'date') return /^\d{4}-\d\d-\d\d$/.test(wanted);
    return filter.type === 'search' || (wanted !== '' && Number.isFinite(Number(wanted)));
  }

  class Board {
    constructor(table, controls) {
      this.table = table;
      const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
      this.columns = heads.flatMap((head, index) =>
        head.dataset.key
          ? [{ key: head.dataset.key, kind: head.dataset.kind, extra: 'extra' in head.dataset, label: textOf(head), head, index }]
          : [],
      );
      this.byKey = new Map(this.columns.map((column) => [column.key, column]));
      // The tier is told by the rules between rows too, and a phone has to show the score.
      this.usual = this.columns.filter(({ key, extra }) => !extra && !(narrow() && key === 'tier')).map(({ key }) => key);
      this.shown = new Set(this.usual);
      this.sorted = null; // { key, descending }
      this.rows = [];
      this.sheet = 'adoptedStyleSheets' in document ? new CSSStyleSheet() : null;
      if (this.sheet) document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.sheet];
      this.readColumns(new URLSearchParams(location.search));
      this.columns.forEach((column) => this.addSorting(column));
      this.addControls(controls);
      this.showColumns();
    }

    // Controls.

    addSorting(column) {
      const button = make('button', { type: 'button', className: 'sort' }, ...column.head.childNodes);
      button.addEventListener('click', () => {
        // First the end that readers want to see: large numbers and late days, but names from A, and what is better low.
        const falling = column.kind !== 'text' && !['rank', 'tier'].includes(column.key) && !column.label.includes('\u2193');
        const now = this.sorted?.key === column.key ? this.sorted.descending : null;
        if (now === null) this.sorted = { key: column.key, descending: falling };
        else if (now === falling) this.sorted = { key: column.key, descending: !falling };
        else this.sorted = null;
        this.show();
      });
      column.head.append(button);
    }

    addControls(place) {
      this.inputs = new Map();
      const filters = make('div', { className: 'filters' });
      filters.setAttribute('role', 'group');
      filters.setAttribute('aria-label', 'Filters');
      for (const filter of FILTERS) {
        if (filter.column !== null && !this.byKey.has(filter.column)) continue;
        if (filter.type === 'word' && this.byKey.get(filter.column).kind !== 'text') continue;
        if (filter.type === 'outcome' && this.byKey.get('p1')?.kind !== 'text') continue;
        const input = make(chosen(filter) ? 'select' : 'input', { id: `filter-${filter.key}` });
        if (chosen(filter)) input.append(make('option', { value: '' }, 'any'));
        else input.type = filter.type;
        if (filter.type === 'number') Object.assign(input, { min: 0, step: 'any' });
        input.addEventListener('input', () => this.show());
        this.inputs.set(filter, input);
        const name = filter.type === 'outcome' ? 'filter' : `filter ${filter.key}`; // .outcome is the style of a mark
        filters.append(make('div', { className: name }, make('label', { htmlFor: input.id }, filter.label), input));
      }
      this.status = make('p', { className: 'shown' });
      this.status.setAttribute('role', 'status');
      const button = (label, action) => {
        const found = make('button', { type: 'button' }, label);
        found.addEventListener('click', action);
        return found;
      };
      const actions = make(
        'div',
        { className: 'actions' },
        this.status,
        this.chooser(),
        ...(this.table.dataset.file && location.protocol === 'file:' // such a page may read no other file; it has links to them
          ? []
          : [button('CSV', () => this.save('csv', 'text/csv')), button('JSON', () => this.save('json', 'application/json'))]),
        button('Reset', () => this.reset()),
      );
      for (const found of actions.querySelectorAll('button')) {
        if (found.textContent !== 'Reset') found.setAttribute('aria-label', `Download what is shown as ${found.textContent}`);
      }
      // Where the screen is narrow the table comes first: filters wait behind a heading, unless the address sets some.
      const set = new URLSearchParams(location.search);
      const open = !narrow() || [...this.inputs.keys()].some(({ key }) => set.has(key));
      place.append(make('details', { className: 'filterbox', open }, make('summary', {}, 'Filter'), filters), actions);
      place.hidden = false;
    }

    chooser() {
      this.boxes = new Map();
      const list = make('div', { className: 'choices' });
      list.setAttribute('role', 'group');
      list.setAttribute('aria-label', 'Columns');
      for (const column of this.columns) {
        if (column.key === 'model' || column.key === 'exam') continue;
        const box = make('input', { type: 'checkbox', checked: this.shown.has(column.key) });
        box.addEventListener('change', () => {
          this.shown[box.checked ? 'add' : 'delete'](column.key);
          this.showColumns();
          this.show();
        });
        this.boxes.set(column.key, box);
        list.append(make('label', {}, box, ` ${column.label}`));
      }
      const details = make('details', { className: 'chooser' }, make('summary', {}, 'Columns'), list);
      document.addEventListener('click', ({ target }) => {
        if (!details.contains(target)) details.open = false;
      });
      details.addEventListener('keydown', (event) => {
        if (event.key !== 'Escape' || !details.open) return;
        details.open = false;
        details.firstChild.focus();
      });
      return details;
    }

    // The rows, once all of them are there, and the state that the address asks for.

    start() {
      for (const body of this.table.tBodies) {
        for (const row of body.rows) {
          const texts = [...row.cells].map(textOf);
          this.rows.push({ row, body, texts, place: this.rows.length, all: texts.join(' ') });
        }
      }
      for (const [filter, input] of this.inputs) {
        if (filter.type === 'outcome') {
          const there = OUTCOMES.filter((outcome) => this.rows.some((found) => passes(filter, outcome, this.problems(found))));
          input.append(...there.map((value) => make('option', { value }, value)));
        }
        if (!chosen(filter) || filter.column === null) continue;
        const { index } = this.byKey.get(filter.column);
        const found = this.rows.flatMap(({ texts }) => (filter.type === 'word' ? wordsIn(texts[index]) : [texts[index]]));
        const values = [...new Set(found.filter(Boolean))].sort();
        input.append(...values.map((value) => make('option', { value }, value)));
      }
      this.readState(new URLSearchParams(location.search));
      this.show();
    }

    problems({ texts }) {
      return this.columns.filter(({ key }) => /^(easy_)?p[123]$/.test(key)).map(({ index }) => texts[index] ?? '').join(' ');
    }

    textFor(filter, found) {
      if (filter.type === 'outcome') return this.problems(found);
      return filter.column === null ? found.all : found.texts[this.byKey.get(filter.column).index] ?? '';
    }

    readColumns(query) {
      const wanted = (query.get('columns') ?? '').split(',').filter((key) => this.byKey.has(key));
      if (wanted.length) this.shown = new Set([...wanted, ...this.fixed()]);
    }

    fixed() {
      return ['model', 'exam'].filter((key) => this.byKey.has(key));
    }

    readState(query) {
      for (const [filter, input] of this.inputs) {
        const wanted = query.get(filter.key);
        if (wanted !== null && isKnown(filter, input, wanted)) input.value = wanted;
      }
      const sort = query.get('sort') ?? '';
      const key = sort.replace(/^-/, '');
      if (this.byKey.has(key)) this.sorted = { key, descending: sort.startsWith('-') };
    }

    writeState() {
      const query = new URLSearchParams();
      for (const [filter, input] of this.inputs) if (input.value.trim()) query.set(filter.key, input.value.trim());
      if (this.sorted) query.set('sort', (this.sorted.descending ? '-' : '') + this.sorted.key);
      const keys = this.columns.filter(({ key }) => this.shown.has(key)).map(({ key }) => key);
      if (keys.join() !== this.usual.join()) query.set('columns', keys.join());
      const search = query.toString().replace(/%2C/g, ',');
      history.replaceState(null, '', location.pathname + (search && `?${search}`) + location.hash);
      for (const link of document.querySelectorAll('.switch a')) link.search = search; // another table, looked at likewise
    }

    reset() {
      for (const input of this.inputs.values()) input.value = '';
      this.sorted = null;
      this.shown = new Set(this.usual);
      for (const [key, box] of this.boxes) box.checked = this.shown.has(key);
      this.showColumns();
      this.show();
    }

    // What is shown.

    showColumns() {
      const hidden = this.columns.filter(({ key }) => !this.shown.has(key));
      const cells = hidden.map(({ index }) => `#board tr > :nth-child(${index + 1})`);
      this.sheet?.replaceSync(cells.length ? `${cells.join()} { display: none; }` : '');
    }

    show() {
      const wanted = [...this.inputs].map(([filter, input]) => [filter, input.value.trim()]).filter(([, value]) => value);
      this.visible = this.inOrder().filter((found) => {
        const hit = wanted.every(([filter, value]) => passes(filter, value, this.textFor(filter, found)));
        found.row.hidden = !hit;
        return hit;
      });
      for (const { head, key } of this.columns) {
        if (this.sorted?.key === key) head.setAttribute('aria-sort', this.sorted.descending ? 'descending' : 'ascending');
        else head.removeAttribute('aria-sort');
      }
      const none = this.rows.length && !this.visible.length ? ': nothing matches' : '';
      this.status.textContent = `${this.visible.length} of ${this.rows.length} rows${none}`;
      this.writeState();
    }

    inOrder() {
      const rows = [...this.rows];
      if (this.sorted) {
        const { kind, index } = this.byKey.get(this.sorted.key);
        const sign = this.sorted.descending ? -1 : 1;
        const value = ({ texts }) => (kind === 'number' ? numberIn(texts[index] ?? '') : texts[index] || null);
        const values = new Map(rows.map((found) => [found, value(found)]));
        rows.sort((a, b) => {
          const [x, y] = [values.get(a), values.get(b)];
          if (x === null || y === null) return (x === null) - (y === null); // what is unknown stays below
          return sign * (kind === 'number' ? x - y : x.localeCompare(y, 'en', { numeric: true }));
        });
      }
      // Moving rows takes the focus and the place of reading along, so it is done only where the order changes.
      for (const body of this.table.tBodies) {
        const own = rows.filter((found) => found.body === body).map(({ row }) => row);
        if (own.some((row, place) => body.rows[place] !== row)) body.append(...own);
      }
      return rows;
    }

    // Downloads.

    // A table of runs: the rows that are shown, of the files that its page links to. So there is one definition of their
    // columns, values and guards, that of exporters/tables.py.
    async fileRows(ending) {
      const answer = await fetch(`${this.table.dataset.file}.${ending}`);
      if (!answer.ok) throw new Error(`${answer.status}`);
      const places = this.visible.map((found) => found.place);
      if (ending === 'json') {
        const { rows } = await answer.json();
        return JSON.stringify(places.map((place) => rows[place]), null, 1) + '\n';
      }
      const [names, ...lines] = (await answer.text()).split('\n');
      return [names, ...places.map((place) => lines[place])].join('\n') + '\n';
    }

    // Any other table: what it shows.
    records() {
      const columns = this.columns.filter(({ key }) => this.shown.has(key));
      const value = (text, kind) => {
        if (text === '' || text === '\u2013') return null;
        return kind === 'number' && /^-?\d+(\.\d+)?$/.test(plain(text)) ? Number(plain(text)) : text;
      };
      const rows = this.visible.map(({ texts }) => columns.map(({ kind, index }) => value(texts[index] ?? '', kind)));
      return { keys: columns.map(({ key }) => key), rows };
    }

    csv() {
      const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
      const { keys, rows } = this.records();
      return [keys, ...rows].map((row) => row.map((value) => quoted(harmless(value))).join()).join('\n') + '\n';
    }

    json() {
      const { keys, rows } = this.records();
      return JSON.stringify(rows.map((row) => Object.fromEntries(row.map((value, i) => [keys[i], value]))), null, 1) + '\n';
    }

    async save(ending, type) {
      try {
        this.download(ending, type, this.table.dataset.file ? await this.fileRows(ending) : this[ending]());
      } catch (error) {
        this.status.textContent = `The data could not be read (${error.message}).`;
      }
    }

    download(ending, type, content) {
      const name = (this.table.dataset.file ?? location.pathname.replace(/\.html$/, '')).split('/').pop();
      const url = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
      make('a', { href: url, download: `roi-bench-${name}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }
  }

  // Start: heads and controls as soon as they are parsed, before anything is drawn; rows when all are there.

  let board = null;

  function build() {
    const theme = document.getElementById('theme');
    if (theme && !theme.firstChild) addTheme(theme);
    const table = document.getElementById('board');
    const controls = document.getElementById('controls');
    if (!board && controls && table?.tHead && table.tBodies.length) board = new Board(table, controls);
  }

  const watcher = new MutationObserver(build);
  watcher.observe(root, { childList: true, subtree: true });
  document.addEventListener('DOMContentLoaded', () => {
    watcher.disconnect();
    build();
    try {
      board?.start();
    } finally {
      root.classList.remove('pending');
    }
  });
})();
