// What the pages share that read data: elements, files, lists of choices, and text that cannot hide anything.
(() => {
  'use strict';

  const UNDEFINED = '\u2013';
  const OUTCOMES = {
    c: 'correct', w: 'wrong', s: 'skipped', t: 'truncated', u: 'unanswered', e: 'empty', x: 'error', m: 'mixed',
  };
  const loaded = new Map();

  const byId = (name) => document.getElementById(name);

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // What `read` makes of the answer at `path`, each only once; what failed is asked again.
  function once(path, read) {
    if (!loaded.has(path)) {
      const reading = fetch(path).then((answer) => {
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
        return read(answer);
      });
      reading.catch(() => loaded.delete(path));
      loaded.set(path, reading);
    }
    return loaded.get(path);
  }

  const load = (path) => once(path, (answer) => answer.json());

  // The lines of a file of responses by exam; servers may or may not have unpacked it on the way.
  async function unpack(answer) {
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
    if (packed && !('DecompressionStream' in window)) throw new Error('this browser cannot unpack it; download the file');
    const stream = new Blob([bytes]).stream();
    const text = await new Response(packed ? stream.pipeThrough(new DecompressionStream('gzip')) : stream).text();
    const lines = text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return new Map(lines.map(({ id, requests }) => [id, requests]));
  }

  const loadResponses = (path) => once(path, unpack);

  function fill(select, values, labels, wanted, otherwise) {
    select.replaceChildren(...values.map((value, place) => make('option', { value }, labels[place])));
    select.selectedIndex = values.includes(wanted) ? values.indexOf(wanted) : Math.min(otherwise, values.length - 1);
  }

  const digits = (value, places) => value.toFixed(places).replace('-', '\u2212');

  // As shown_text.visible: what cannot be seen, or reorders other characters, is written out; joiners stay.
  function visible(text) {
    return text
      .replaceAll('\r\n', '\n')
      .replace(/[^\P{C}\n\t\u200c\u200d]|[\u00ad\p{Zl}\p{Zp}]/gu, (character) =>
        /\p{Cn}|\p{Co}/u.test(character) ? character : `\u27e6U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}\u27e7`,
      );
  }

  window.roiBench = { UNDEFINED, OUTCOMES, byId, make, load, loadResponses, fill, digits, visible };
})();
