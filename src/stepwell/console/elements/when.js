// Instants and lengths of time as people read them. Instants are seconds since the epoch.

export function ago(at, now) {
  const s = Math.max(0, now - at);
  if (s < 5) return "just now";
  if (s < 60) return Math.floor(s) + " s ago";
  if (s < 3600) return Math.floor(s / 60) + " min ago";
  if (s < 86400) return Math.floor(s / 3600) + " h ago";
  if (s < 30 * 86400) return Math.floor(s / 86400) + " d ago";
  return date(at);
}

export function took(s) {
  if (s == null || s < 0) return "";
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 60) return s.toFixed(s < 10 ? 2 : 1) + " s";
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return minutes + " min " + Math.floor(s % 60) + " s";
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? hours + " h " + (minutes % 60) + " min" : Math.floor(hours / 24) + " d " + (hours % 24) + " h";
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

export const date = (at) => (at == null ? "" : DATE.format(at * 1000));
export const clock = (at) => (at == null ? "" : CLOCK.format(at * 1000));
export const now = () => Date.now() / 1000;

export const ticking = {
  data: () => ({ now: now() }),
  mounted() { this.ticker = setInterval(() => (this.now = now()), 1000); },
  unmounted() { clearInterval(this.ticker); },
};
