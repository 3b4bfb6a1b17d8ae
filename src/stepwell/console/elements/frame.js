const PLACES = [
  ["/console/", "Runs"],
  ["/console/approvals", "Approvals"],
  ["/console/workflows", "Workflows"],
  ["/console/playground", "Playground"],
  ["/console/overview", "Overview"],
];

const session = async () => (await fetch("/console/session").catch(() => null))?.status;

export default {
  emits: ["seen"],
  props: { active: String, who: String, local: Boolean, pending: Number, banner: String, signedOut: Boolean },
  data: () => ({ places: PLACES, toasts: [], dark: false, refused: false }),
  template: `
    <div>
      <a class="visually-hidden" href="#main">Skip to the content</a>
      <header class="sw-head">
        <div class="sw-head-row">
          <a class="sw-brand" href="/console/" aria-label="Stepwell, runs">
            <svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.4"
              stroke-linejoin="round"><path d="M2 4h5v5h5v5h5v5h5"/><path d="M2 9v11h20" opacity=".35"/></svg>
            Stepwell
          </a>
          <nav class="sw-nav" aria-label="Console">
            <a v-for="[path, name] in places" :key="path" :href="path"
              :aria-current="path === active ? 'page' : null">{{ name }}<span class="sw-badge"
              v-if="name === 'Approvals' && pending" data-testid="pending"
              :aria-label="pending + ' pending'">{{ pending > 999 ? '999+' : pending }}</span></a>
          </nav>
          <div class="sw-who">
            <span class="sw-wide" :title="local ? 'this machine: nobody is asked to sign in' : ''">{{ who }}</span>
            <button class="sw-btn small plain" @click="toggle" :aria-label="dark ? 'Light theme' : 'Dark theme'"
              :title="dark ? 'Light theme' : 'Dark theme'">
              <svg width="16" height="16" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor"
                stroke-width="2"><circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/></svg>
            </button>
            <a v-if="!local" class="sw-btn small" href="/console/sign-in">Sign out</a>
          </div>
        </div>
      </header>
      <div class="sw-banner" role="status" v-if="banner || refused">{{ banner || 'You are signed out: this page cannot come back by itself.' }}
        <a v-if="isOut" :href="signIn">Sign in</a></div>
      <div class="sw-toasts" aria-live="polite">
        <div v-for="toast in toasts" :key="toast.id" :class="['sw-toast', toast.bad && 'bad']">{{ toast.text }}</div>
      </div>
    </div>`,
  computed: {
    isOut() { return this.signedOut || this.refused; },
    signIn: () => "/console/sign-in?next=" + encodeURIComponent(location.pathname + location.search),
  },
  mounted() {
    const main = document.querySelector("main");
    if (main) { main.id = "main"; main.tabIndex = -1; }
    addEventListener("focus", this.comeBack);
    setTimeout(() => window.socket?.on("connect_error", this.lost)); // the connection is made when all is mounted
    const see = () => this.$emit("seen", document.visibilityState === "visible");
    document.addEventListener("visibilitychange", see);
    if (document.visibilityState === "hidden") see(); // opened in the background
    this.showTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.showTheme);
  },
  methods: {
    showTheme() {
      const chosen = document.documentElement.dataset.theme;
      this.dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    },
    toggle() {
      const theme = this.dark ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("stepwell-theme", theme);
      this.showTheme();
      dispatchEvent(new Event("stepwell-theme"));
    },
    async comeBack() { // signed in again in another window: this one goes on
      if (this.isOut && (await session()) === 200) location.reload();
    },
    async lost() { // the connection is refused: because the server is away, or because of who asks?
      this.refused = (await session()) === 401;
    },
    say(text, bad) {
      const toast = { id: Math.random(), text, bad };
      this.toasts.push(toast);
      setTimeout(() => (this.toasts = this.toasts.filter((one) => one !== toast)), bad ? 12000 : 6000);
    },
  },
};
