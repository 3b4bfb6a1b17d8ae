// A JSON value as text with its parts coloured; everything that comes from a run is escaped.

const escape = (text) => text.replace(/[&<>"]/g, (sign) => "&#" + sign.charCodeAt(0) + ";");
const PART = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MOST = 200000;

export function text(value) { return JSON.stringify(value, null, 2) ?? "null"; }

export function json(value) {
  const whole = text(value);
  const shown = whole.length > MOST ? whole.slice(0, MOST) + "\n…" : whole;
  let html = "", last = 0;
  for (const part of shown.matchAll(PART)) {
    const [all, string, colon, literal] = part;
    const kind = string ? (colon ? "k" : "s") : literal ? "l" : "n";
    html += escape(shown.slice(last, part.index)) + `<span class="${kind}">${escape(string || all)}</span>` + (colon || "");
    last = part.index + all.length;
  }
  return html + escape(shown.slice(last));
}
