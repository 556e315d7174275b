// SPDX-License-Identifier: MIT
// The script of the flame graph, without which the picture is right but still. It reads what svg.c
// drew; what it cannot do with that (leaves first, one process, some states, other colours) it
// draws anew from the data that svg_data.c put beside it.
'use strict';
(function () {
var NS = 'http://www.w3.org/2000/svg', XHTML = 'http://www.w3.org/1999/xhtml';
var me = document.currentScript;
var svg = me && me.closest('svg') || document.documentElement;
var PAD = +svg.dataset.pad, ROW = +svg.dataset.row, TOP = +svg.dataset.top;
var levels = +svg.dataset.levels, total = +svg.dataset.total;
var head = svg.querySelector('.head'), legend = svg.querySelector('.legend');
var status = svg.querySelector('.status'), select = null;
var ghosts = +svg.dataset.ghosts;
/* Not a part of a page of other things. */
var alone = svg === document.documentElement ||
  document.body && document.body.classList.contains('ljx-page');
var hint = 'click: zoom   /: search   n N: next, previous hit   0: reset';

var frames, at, root, zoomed, hits = [], current = -1;
var icicle = svg.dataset.icicle === '1', fold = false, said = null, width, charWidth, matched, find;
var panel = null, whole = total;
var buttons = [], data = null, embedded = svg.querySelector('.data');
/* How the data is shown. */
var reverse = svg.dataset.reverse === '1', colour = svg.dataset.colour, process = -1;
var GROUPS = ['N compiled', 'I interpreted', 'C C code', 'G GC', 'J JIT compiler', 'O other'];
var off = [false, false, false, false, false, false];

/* The frames as drawn, parents before children, left before right. */
function read() {
  frames = Array.from(svg.querySelectorAll('g.f'), function (g) {
    var tip = g.querySelector('title').textContent.split('\n');
    return {g: g, rect: g.querySelector('rect'), text: g.querySelector('text'), tip: tip,
      label: tip[0], x: +g.dataset.x, n: +g.dataset.n, d: +g.dataset.d};
  });
  at = new Map(frames.map(function (f) { return [f.g, f]; }));
  root = zoomed = frames[0];
}

/* Elements. */
function make(parent, name, attrs, text) {
  var e = document.createElementNS(NS, name);
  for (var k in attrs)
    e.setAttribute(k, attrs[k]);
  if (text)
    e.textContent = text;
  parent.appendChild(e);
  return e;
}

/* The cells that a character takes in a fixed-width font. */
function cells(c) {
  var p = c.codePointAt(0);
  return p >= 0x1100 && (p < 0x1160 || p >= 0x2e80 && p < 0xa4d0 || p >= 0xac00 &&
    p < 0xd7a4 || p >= 0xf900 && p < 0xfb00 || p >= 0xfe30 && p < 0xfe70 ||
    p >= 0xff00 && p < 0xff61 || p >= 0x1f300 && p < 0x1fb00 || p >= 0x20000) ? 2 : 1;
}

function clip(s, room) {
  var used = 0, cut = 0;
  for (var c of s) {
    used += cells(c);
    if (used <= room - 2)
      cut += c.length;
  }
  return used <= room ? s : room < 3 ? '' : s.slice(0, cut) + '..';
}

function share(n, of) {
  return (of ? 100 * n / of : 0).toFixed(1) + '%';
}

function percent(n) {
  return share(n, total);
}

/* Places all frames for the zoom, the window and the direction. */
function place(f) {
  var z = zoomed, above = f.d < z.d && f.x <= z.x && f.x + f.n >= z.x + z.n;
  var inside = f.d >= z.d && f.x >= z.x && f.x + f.n <= z.x + z.n;
  var scale = (width - 2 * PAD) / z.n, w = above ? width - 2 * PAD : f.n * scale;
  if (!above && !inside || w < 0.3) {
    f.g.style.display = 'none';
    return;
  }
  var x = above ? PAD : PAD + (f.x - z.x) * scale;
  var y = TOP + ROW * (icicle ? f.d : levels - 1 - f.d);
  f.g.style.display = '';
  f.g.classList.toggle('dim', above);
  f.rect.setAttribute('x', x.toFixed(2));
  f.rect.setAttribute('y', y);
  f.rect.setAttribute('width', Math.max(w - 0.5, 0.3).toFixed(2));
  f.text.setAttribute('x', (x + 3).toFixed(2));
  f.text.setAttribute('y', y + ROW - 5);
  f.text.textContent = clip(f.label, Math.floor((w - 6) / charWidth));
}

function draw() {
  var height = TOP + ROW * (levels + ghosts) + PAD, left;
  if (panel) /* below the frames, which can be scrolled up above it */
    height = Math.max(height + panelHeight(), alone ? window.innerHeight : 0);
  width = alone ? window.innerWidth - (window.innerHeight < height ? 16 : 0)
    : svg.parentNode.clientWidth;
  width = Math.max(width, 480);
  svg.setAttribute('width', width);
  svg.setAttribute('height', height);
  svg.setAttribute('viewBox', '0 0 ' + width + ' ' + height);
  charWidth = charWidth || ruler();
  frames.forEach(place);
  head.querySelector('rect').setAttribute('width', width);
  left = width - PAD;
  buttons.slice().reverse().forEach(function (b) {
    left -= b.w;
    b.g.setAttribute('transform', 'translate(' + left + ',12)');
    left -= 6;
  });
  head.querySelectorAll('text[data-full]').forEach(function (t) {
    var end = t.classList.contains('title') ? left : width;
    var size = parseFloat(getComputedStyle(t).fontSize) / 12;
    var room = (end - t.getAttribute('x') - PAD) / (charWidth * size);
    t.textContent = clip(t.dataset.full, Math.floor(room));
  });
  legend.setAttribute('transform', 'translate(' + PAD + ',' + legend.dataset.y +
    ') scale(' + Math.min(1, (width - 2 * PAD) / legend.getBBox().width) + ')');
  find.box.setAttribute('x', width - PAD - 250);
  if (select)
    select.setAttribute('x', width - PAD - 460);
  matched.setAttribute('x', width - PAD - (select ? 470 : 260));
  scrolled();
  say(said);
}

function ruler() {
  var t = make(svg, 'text', {class: 'ruler'}, 'MMMMMMMMMM');
  var w = t.getComputedTextLength() / 10;
  t.remove();
  return w || 7.25;
}

/* The head stays in sight. */
function scrolled() {
  if (alone)
    head.setAttribute('transform', 'translate(0,' + (window.scrollY || 0) + ')');
  if (panel)
    placePanel();
}

function say(f) {
  said = f;
  var room = width - 2 * PAD - (select ? 480 : 270) - (matched.textContent ? 24 * charWidth : 0);
  var s = f ? f.label + '   ' + f.tip.slice(1).join('   ') : hint;
  status.textContent = clip(s, Math.floor(room / charWidth));
}

/* The address tells what is shown, where it can be told. */
function remember() {
  var q = new URLSearchParams();
  if (zoomed !== root) {
    q.set('x', zoomed.x);
    q.set('y', zoomed.d);
  }
  if (find.input.value)
    q.set('s', find.input.value);
  if (find.input.value && fold)
    q.set('c', '1');
  try {
    var s = q.toString() ? '?' + q : '';
    history.replaceState(null, '', location.pathname + s + location.hash);
  } catch (e) {
    /* Not from a file. */
  }
}

function zoom(f) {
  zoomed = f;
  said = f === root ? null : f;
  draw();
  if (panel)
    fillPanel(f);
  remember();
}

/* What one hit lies below another adds nothing: frames come parents first. */
function search(s) {
  var sum = 0, end = -1, re = null, bad = false;
  try {
    re = s ? new RegExp(s, fold ? 'i' : '') : null;
  } catch (e) {
    bad = true;
  }
  hits = frames.filter(function (f) { return re && f !== root && re.test(f.label); });
  hits.forEach(function (f) {
    if (f.x >= end) {
      sum += f.n;
      end = f.x + f.n;
    }
  });
  frames.forEach(function (f) { f.g.classList.remove('hit', 'current'); });
  hits.forEach(function (f) { f.g.classList.add('hit'); });
  svg.classList.toggle('searched', !!re);
  current = -1;
  matched.textContent = bad ? 'not a pattern' : re ? 'matched: ' + percent(sum) : '';
  find.input.classList.toggle('bad', bad);
  find.fold.textContent = fold ? 'aa' : 'Aa';
  remember();
}

function next(step) {
  var seen = hits.filter(function (f) { return f.g.style.display !== 'none'; });
  if (!seen.length)
    return;
  frames.forEach(function (f) { f.g.classList.remove('current'); });
  if (current < 0)
    current = step > 0 ? 0 : seen.length - 1;
  else
    current = (current + step + seen.length) % seen.length;
  seen[current].g.classList.add('current');
  seen[current].rect.scrollIntoView({block: 'center'});
  say(seen[current]);
}

function setFold(on) {
  fold = on;
  search(find.input.value);
}

function clear() {
  find.input.value = '';
  search('');
  zoom(root);
}

function flip() {
  icicle = !icicle;
  draw();
  showRoot();
}

function showRoot() {
  if (alone)
    window.scrollTo(0, icicle ? 0 : svg.scrollHeight);
}

function isDark() {
  var system = window.matchMedia && matchMedia('(prefers-color-scheme: dark)').matches;
  return svg.classList.contains('dark') || system && !svg.classList.contains('light');
}

function toggleDark() {
  var dark = !isDark();
  svg.classList.toggle('dark', dark);
  svg.classList.toggle('light', !dark);
}

function button(text, tip, act) {
  var w = text.length * 6.7 + 14;
  var g = make(head, 'g', {class: 'button', role: 'button', tabindex: 0});
  make(g, 'title', {}, tip);
  make(g, 'rect', {width: w, height: 20, rx: 4});
  make(g, 'text', {x: w / 2, y: 14, 'text-anchor': 'middle'}, text);
  g.addEventListener('click', act);
  g.addEventListener('keydown', function (e) {
    if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault();
      act();
    }
  });
  buttons.push({g: g, w: w});
}

function makeFind() {
  var box = make(head, 'foreignObject', {y: TOP - 31, width: 250, height: 24});
  var row = document.createElementNS(XHTML, 'div');
  var input = document.createElementNS(XHTML, 'input');
  var b = document.createElementNS(XHTML, 'button');
  row.className = 'find';
  input.type = 'text';
  input.spellcheck = false;
  input.placeholder = 'search: regular expression';
  input.setAttribute('aria-label', 'search');
  b.title = 'ignore case (Ctrl-I)';
  b.textContent = 'Aa';
  b.addEventListener('click', function () { setFold(!fold); });
  input.addEventListener('input', function () { search(input.value); });
  row.appendChild(input);
  row.appendChild(b);
  box.appendChild(row);
  return {box: box, input: input, fold: b};
}

function key(e) {
  var ctrl = e.ctrlKey || e.metaKey, typing = e.target === find.input;
  var k = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  if (k === 'F3' || ctrl && k === 'f' || !typing && !ctrl && k === '/') {
    find.input.focus();
    find.input.select();
  } else if (ctrl && k === 'i') {
    setFold(!fold);
  } else if (k === 'Escape' && panel) {
    toggleSource();
  } else if (k === 'Escape') {
    find.input.blur();
    clear();
  } else if (typing && k === 'Enter') {
    find.input.blur();
    next(1);
  } else if (typing || ctrl || e.altKey) {
    return;
  } else if (k === '0') {
    zoom(root);
  } else if (k === 'i') {
    flip();
  } else if (k === 'd') {
    toggleDark();
  } else if (data && k === 'r') {
    turn();
  } else if (data && data.sources && k === 's') {
    toggleSource();
  } else if (data && k === 'c') {
    recolour();
  } else if (k === 'n') {
    next(e.shiftKey ? -1 : 1);
  } else {
    return;
  }
  e.preventDefault();
}

/* ---- other views, from the data ---- */

function unpack() {
  var s = data.stacks, i;
  data.n = s.length / 2;
  data.parent = new Uint32Array(data.n);
  data.frame = new Uint32Array(data.n);
  for (i = 0; i < data.n; i++) {
    data.parent[i] = i - s[2 * i];
    data.frame[i] = s[2 * i + 1]; /* twice its index; odd: it is inlined */
  }
}

/* Calls back with stack, group and count of all that is to be seen. */
function piles(fn) {
  var p = data.piles;
  for (var i = 0; i < p.length; i += 4)
    if ((process < 0 || p[i + 1] === process) && !off[p[i + 2]])
      fn(p[i], p[i + 2], p[i + 3]);
}

/* The frames of a stack, from the root or from the leaf. */
function path(stack) {
  var out = [];
  for (; stack; stack = data.parent[stack])
    out.push(data.frame[stack]);
  return reverse ? out : out.reverse();
}

function node(key) {
  return {frame: key >> 1, inlined: key & 1, n: 0, self: 0, by: [0, 0, 0, 0, 0, 0], kids: new Map()};
}

function tree() {
  var top = node(data.frame[0]);
  piles(function (stack, group, n) {
    var here = top;
    here.n += n;
    here.by[group] += n;
    path(stack).forEach(function (key) {
      if (!here.kids.has(key))
        here.kids.set(key, node(key));
      here = here.kids.get(key);
      here.n += n;
      here.by[group] += n;
    });
    here.self += n;
  });
  return top;
}

function classOf(t) {
  var f = data.frames[t.frame], kind = f[1];
  if (kind === 'r' || colour === 'state')
    return kind !== 'l' ? kind : t.by[0] > t.by[1] ? 'n2' : 'i2';
  if (colour === 'file')
    return f[2] < 0 ? 'hx' : 'h' + f[2];
  return 'w' + f[3];
}

function tipOf(t) {
  var by = '';
  t.by.forEach(function (n, i) {
    if (n)
      by += GROUPS[i] + ' ' + share(n, t.n) + '  ';
  });
  return data.frames[t.frame][0] + '\n' + t.n + ' ' +
    svg.dataset[t.n === 1 ? 'one' : 'many'] + ', ' +
    percent(t.n) + '\nself ' + t.self + ', ' + percent(t.self) + '\n' + by +
    (data.frames[t.frame][4] ? '\n' + data.frames[t.frame][4] : '') +
    (t.inlined ? '\ninlined in its trace' : '');
}

/* Labels have the order of their bytes, which is that of their code points. */
function byLabel(a, b) {
  var x = Array.from(data.frames[a.frame][0]), y = Array.from(data.frames[b.frame][0]);
  for (var i = 0; i < x.length && i < y.length; i++)
    if (x[i] !== y[i])
      return x[i].codePointAt(0) - y[i].codePointAt(0);
  return x.length - y.length || a.frame - b.frame || a.inlined - b.inlined;
}

function rebuild() {
  var top = tree(), todo = [[top, 0, 0]], t, g;
  total = top.n;
  levels = 1;
  frames.forEach(function (f) { f.g.remove(); });
  while ((t = todo.pop())) {
    levels = Math.max(levels, t[2] + 1);
    g = document.createElementNS(NS, 'g');
    g.setAttribute('class', 'f ' + classOf(t[0]));
    g.dataset.x = t[1];
    g.dataset.n = t[0].n;
    g.dataset.d = t[2];
    make(g, 'title', {}, tipOf(t[0]));
    make(g, 'rect', {height: ROW - 1, rx: 2});
    make(g, 'text', {});
    svg.insertBefore(g, head);
    var x = t[1], kids = [];
    Array.from(t[0].kids.values()).sort(byLabel).forEach(function (kid) {
      if (kid.n * 1000 >= total && t[2] < 1023)
        kids.push([kid, x, t[2] + 1]);
      x += kid.n;
    });
    Array.prototype.push.apply(todo, kids.reverse());
  }
  read();
  hits = [];
  said = null;
  draw();
  search(find.input.value);
  showRoot();
}

function recolour(to) {
  var next_ = {state: 'file', file: 'cost', cost: 'state'};
  colour = to || next_[colour];
  if (colour === 'cost' && !to && !data.frames.some(function (f) { return f[3]; }))
    colour = 'state'; /* there is nothing that cost */
  svg.dataset.colour = colour;
  legend.querySelectorAll('.by').forEach(function (g) {
    g.setAttribute('display', g.dataset.by === colour ? 'inline' : 'none');
  });
  rebuild();
}

function turn() {
  reverse = !reverse;
  rebuild();
}

/* The stacks that are to be seen, root first, as folded stacks. */
function folded() {
  var lines = new Map(), was = reverse;
  reverse = false;
  piles(function (stack, group, n) {
    var line = path(stack).map(function (f) { return data.frames[f >> 1][0]; }).join(';');
    if (line)
      lines.set(line, (lines.get(line) || 0) + n);
  });
  reverse = was;
  return Array.from(lines, function (l) { return l[0] + ' ' + l[1] + '\n'; }).sort().join('');
}

/* To the clipboard, or where there is none, into a box to copy from. */
function copy() {
  var s = folded();
  function show() {
    var box = make(head, 'foreignObject', {x: PAD, y: TOP, width: width - 2 * PAD, height: 300});
    var row = document.createElementNS(XHTML, 'div');
    var area = document.createElementNS(XHTML, 'textarea');
    row.className = 'find';
    row.style.height = '100%';
    area.value = s;
    area.addEventListener('blur', function () { box.remove(); });
    row.appendChild(area);
    box.appendChild(row);
    area.focus();
    area.select();
  }
  if (!navigator.clipboard)
    return show();
  navigator.clipboard.writeText(s).then(function () {
    status.textContent = 'copied: ' + s.split('\n').length + ' lines of folded stacks';
  }, show);
}

/* ---- embedded source ---- */

/* Where the frame's function is: [source, line], or null. */
function sourceOf(f) {
  var frame = data.frames.find(function (d) { return d[0] === f.label; });
  return frame && frame[5] >= 0 ? [data.sources[frame[5]], Math.max(1, frame[6])] : null;
}

function sourceLine(text, number, hit, first) {
  var line = document.createElementNS(XHTML, 'div'), heat = hit ? hit[0] / whole : 0;
  function cell(s, n) { return (s + '').padStart(n) + ' '; }
  line.textContent = (hit ? cell(share(hit[0], whole), 7) + cell(share(hit[1], whole), 7) +
    (hit[0] ? cell(Math.round(100 * hit[2] / hit[0]), 4) +
    cell(Math.round(100 * hit[3] / hit[0]), 4) : ' '.repeat(10)) : ' '.repeat(26)) +
    cell(number, 6) + ' ' + text;
  if (heat > 0)
    line.style.background = 'rgba(240,120,40,' + Math.min(0.7, 0.08 + heat).toFixed(2) + ')';
  if (first)
    line.className = 'first';
  return line;
}

/* The lines around a function's first one; a file can be long. */
function fillPanel(f) {
  var div = panel.firstChild, found = sourceOf(f), list = div.lastChild, hits_ = new Map();
  list.textContent = '';
  div.firstChild.textContent = found ? f.label + '   ' + found[0][1] +
    '\n  SELF%  TOTAL%    N    I   LINE' : f.label + '   no source: this is no Lua function';
  if (!found)
    return;
  var h = found[0][3], lines = (found[0][2] || '').split('\n').slice(0, -1), from, i;
  for (i = 0; i < h.length; i += 5)
    hits_.set(h[i], h.slice(i + 1, i + 5));
  from = Math.max(1, found[1] - 200);
  if (!lines.length) /* the numbers alone */
    hits_.forEach(function (hit, n) { list.appendChild(sourceLine('', n, hit)); });
  for (i = from; i <= lines.length && i < from + 2200; i++)
    list.appendChild(sourceLine(lines[i - 1], i, hits_.get(i), i === found[1]));
  var first = list.querySelector('.first');
  if (first)
    list.scrollTop = first.offsetTop - list.offsetTop - 40;
}

function panelHeight() {
  return Math.round(alone ? window.innerHeight * 0.45 : 300);
}

function placePanel() {
  var h = panelHeight();
  panel.setAttribute('y', alone ? (window.scrollY || 0) + window.innerHeight - h
    : svg.height.baseVal.value - h);
  panel.setAttribute('width', width);
  panel.setAttribute('height', h);
}

function toggleSource() {
  if (panel) {
    panel.remove();
    panel = null;
    return draw();
  }
  panel = make(svg, 'foreignObject', {});
  var div = panel.appendChild(document.createElementNS(XHTML, 'div'));
  div.className = 'source';
  div.appendChild(document.createElementNS(XHTML, 'div'));
  div.appendChild(document.createElementNS(XHTML, 'pre'));
  var f = said || zoomed;
  draw();
  fillPanel(f);
}

function makeSelect() {
  var box = make(head, 'foreignObject', {y: TOP - 31, width: 200, height: 24});
  var row = document.createElementNS(XHTML, 'div');
  var select = document.createElementNS(XHTML, 'select');
  row.className = 'find';
  select.setAttribute('aria-label', 'process');
  ['all processes'].concat(data.processes).forEach(function (name, i) {
    var o = document.createElementNS(XHTML, 'option');
    o.value = i - 1;
    o.textContent = name;
    select.appendChild(o);
  });
  select.addEventListener('change', function () {
    process = +select.value;
    rebuild();
  });
  row.appendChild(select);
  box.appendChild(row);
  return box;
}

/* A click on the legend leaves these samples out, or takes them in again. */
function makeSwitches() {
  legend.querySelectorAll('.switch').forEach(function (g, i) {
    g.setAttribute('role', 'button');
    g.addEventListener('click', function () {
      off[i] = !off[i];
      g.classList.toggle('off', off[i]);
      rebuild();
    });
  });
}

function frameOf(e) {
  return at.get(e.target.closest && e.target.closest('g.f'));
}

/* What the address asks for. */
function recall() {
  var q = new URLSearchParams(location.search), f = null;
  if (q.has('x') && q.has('y'))
    f = frames.find(function (g) {
      return g.x === +q.get('x') && g.d === +q.get('y');
    });
  fold = q.get('c') === '1';
  find.input.value = q.get('s') || '';
  if (f)
    zoomed = said = f;
  draw();
  if (find.input.value)
    search(find.input.value);
}

read();
if (embedded && frames.length) {
  data = JSON.parse(embedded.textContent);
  unpack();
}
if (root) {
  button('Reset 0', 'show all again (0, Esc)', clear);
  button('Icicle I', 'root at the top or at the bottom (I)', flip);
  if (data) {
    button('Reverse R', 'leaves first, or roots first (R)', turn);
    button('Colour C', 'by state, by file, by what aborts cost (C)', function () { recolour(); });
    if (data.sources)
      button('Source S', 'the source of the frame that is zoomed or pointed at (S)', toggleSource);
    button('Copy folded', 'copy what is shown as folded stacks', copy);
    if (data.processes.length > 1)
      select = makeSelect();
    makeSwitches();
  }
  button('Dark D', 'dark or light (D)', toggleDark);
  find = makeFind();
  matched = make(head, 'text', {class: 'matched', y: TOP - 14, 'text-anchor': 'end'});
  svg.classList.add('live');
  svg.addEventListener('click', function (e) {
    var f = frameOf(e);
    if (f)
      zoom(f);
  });
  svg.addEventListener('mouseover', function (e) { say(frameOf(e)); });
  window.addEventListener('keydown', key);
  window.addEventListener('resize', draw);
  window.addEventListener('scroll', scrolled);
  recall();
  showRoot();
}
})();
