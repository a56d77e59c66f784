'use strict';
// Shows openapi.json. Texts are set as text, never as HTML.

// element makes an element. Properties that begin with a small letter are attributes.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
}

// prose shows a text with `code` in it.
function prose(text, name = 'p') {
  const made = element(name);
  (text || '').split('`').forEach((part, i) => made.append(i % 2 ? element('code', null, part) : part));
  return made;
}

let api;

// resolved follows a reference within the description.
function resolved(node) {
  while (node && node.$ref) node = node.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/').replaceAll('~0', '~')], api);
  return node || {};
}

// typeOf says what a schema takes; a named schema is a link to its own entry.
function typeOf(schema) {
  if (!schema) return '';
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return element('a', { href: '#schema-' + name }, name);
  }
  const made = element('span');
  const any = schema.oneOf || schema.anyOf || schema.allOf;
  if (any) {
    any.forEach((s, i) => made.append(i ? (schema.allOf ? ' and ' : ' or ') : '', typeOf(s)));
    return made;
  }
  if (schema.type === 'array') {
    made.append('list of ', typeOf(schema.items));
    return made;
  }
  made.append(schema.type || 'anything');
  if (schema.format) made.append(' (' + schema.format + ')');
  if (schema.enum) made.append(': ', schema.enum.join(', '));
  if (schema.default !== undefined) made.append('; default ' + JSON.stringify(schema.default));
  if (schema.nullable) made.append(', or null');
  return made;
}

// members shows the members of an object.
function members(schema) {
  const rows = Object.entries(schema.properties || {}).map(([name, property]) => element('tr', null,
    element('td', null, element('code', null, name), (schema.required || []).includes(name) ? '' : element('span', { class: 'quiet' }, ' optional')),
    element('td', null, typeOf(property)), prose(resolved(property).description, 'td')));
  return rows.length ? element('table', null, ...rows) : typeOf(schema);
}

// bodies shows the media types of a request or an answer.
function bodies(content) {
  return Object.entries(content || {}).map(([type, media]) => element('div', null,
    element('code', null, type), ' ', media.schema && !media.schema.$ref ? members(media.schema) : typeOf(media.schema), example(media)));
}

function example(of) {
  return of.example === undefined ? null : element('pre', null, JSON.stringify(of.example, null, 2));
}

function operation(method, path, op, shared) {
  const parameters = [...(shared || []), ...(op.parameters || [])].map(resolved);
  const body = resolved(op.requestBody);
  const answers = Object.entries(op.responses || {}).filter(([status]) => status !== 'default').map(([status, r]) => {
    const answer = resolved(r);
    return element('tr', null, element('td', null, element('code', null, status)),
      element('td', null, prose(answer.description, 'div'), ...bodies(answer.content)));
  });
  const needs = op.security || api.security || [];
  return element('details', { id: op.operationId },
    element('summary', null, element('span', { class: 'method' }, method.toUpperCase()), ' ', element('code', null, path), ' ',
      element('span', { class: 'quiet' }, op.summary || '')),
    op.description ? prose(op.description) : null,
    element('p', { class: 'quiet' }, needs.length ? 'Needs: ' + needs.map((n) => Object.keys(n).join(' and ') || 'nothing').join(', or ') + '.' : 'Needs no token.'),
    parameters.length ? element('h4', null, 'Parameters') : null,
    parameters.length ? element('table', null, ...parameters.map((p) => element('tr', null,
      element('td', null, element('code', null, p.name), element('span', { class: 'quiet' }, ' ' + p.in + (p.required ? '' : ', optional'))),
      element('td', null, typeOf(p.schema)), prose(p.description, 'td')))) : null,
    body.content ? element('h4', null, 'Body') : null, ...bodies(body.content),
    element('h4', null, 'Answers'), element('table', null, ...answers));
}

function show() {
  const main = document.getElementById('main');
  main.replaceChildren(prose(api.info.description));
  const methods = ['get', 'head', 'post', 'put', 'patch', 'delete'];
  for (const tag of api.tags) {
    const found = [];
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of methods) {
        if (item[method] && (item[method].tags || []).includes(tag.name)) found.push(operation(method, path, item[method], item.parameters));
      }
    }
    main.append(element('section', null, element('h2', { id: 'tag-' + tag.name }, tag.name), prose(tag.description), ...found));
  }
  const schemas = Object.entries(api.components.schemas).map(([name, schema]) => element('details', { id: 'schema-' + name },
    element('summary', null, element('code', null, name)), prose(schema.description), members(schema), example(schema)));
  main.append(element('section', null, element('h2', null, 'Schemas'), ...schemas));
  main.setAttribute('aria-busy', 'false');
}

// open shows the entry that the URL names.
function open() {
  const entry = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (entry && entry.tagName === 'DETAILS') entry.open = true;
  if (entry) entry.scrollIntoView();
}

// find hides what doesn't have the words.
function find(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of document.querySelectorAll('#main details')) {
    const text = entry.textContent.toLowerCase();
    entry.hidden = !wanted.every((w) => text.includes(w));
  }
}

document.getElementById('find').addEventListener('input', (event) => find(event.target.value));
addEventListener('hashchange', open);
fetch('openapi.json').then((response) => {
  if (!response.ok) throw new Error('status ' + response.status);
  return response.json();
}).then((description) => {
  api = description;
  show();
  open();
}).catch((error) => {
  document.getElementById('main').replaceChildren('The description could not be loaded: ' + error.message + '. Load the page again.');
});
