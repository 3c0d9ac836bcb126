"use strict";
(() => {
  const articles = () => [...document.querySelectorAll("article")];
  let here = -1, texts = null;

  async function unpack() {
    const block = document.getElementById("block");
    if (!block) return {};
    const bytes = Uint8Array.from(atob(block.textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const { lines, texts } = JSON.parse(await new Response(stream).text());
    return Object.fromEntries(Object.entries(texts).map(([key, steps]) => {
      let at = -1;
      return [key, steps.map((step) => lines[at += step]).join("\n")];
    }));
  }

  async function fill(details) {
    const pre = details.querySelector("pre");
    if (!pre || pre.textContent) return;
    pre.textContent = await textOf(details.dataset.text);
  }

  async function textOf(key) {
    if (document.body.dataset.live) {  // a live page has no block: its server has the texts
      const answer = await fetch("texts/" + key.split("/").map(encodeURIComponent).join("/"));
      return answer.ok ? answer.text() : "cannot be read";
    }
    texts = texts || unpack();
    return (await texts)[key] || "not in this page";
  }

  function go(index) {
    const all = articles();
    if (!all.length) return;
    here = Math.max(0, Math.min(all.length - 1, index));
    all.forEach((article, at) => article.classList.toggle("here", at === here));
    all[here].focus({ preventScroll: true });
    all[here].scrollIntoView({ block: "start" });
    history.replaceState(null, "", "#" + all[here].id);
  }

  const keys = {
    j: () => go(here + 1),
    k: () => go(here - 1),
    b: () => go(articles().findIndex((article) => article.classList.contains("best"))),
    g: () => { here = -1; scrollTo(0, 0); },
    o: () => articles()[here]?.querySelectorAll("details").forEach((details, _, all) => {
      details.open = !details.open;
    }),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    keys[event.key]?.();
  });
  addEventListener("toggle", (event) => { if (event.target.dataset?.text && event.target.open) fill(event.target); }, true);
  addEventListener("hashchange", () => { here = articles().findIndex((article) => "#" + article.id === location.hash); });
  document.addEventListener("click", (event) => {
    if (event.target.id !== "copy") return;
    const source = document.getElementById("winner").textContent;
    navigator.clipboard?.writeText(source).then(() => { event.target.textContent = "copied"; });
  });

  function put(html, id) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const old = document.getElementById(id);
    const open = [...(old?.querySelectorAll("details[open]") || [])].map((d) => d.dataset.text || d.dataset.key);
    fresh.content.querySelectorAll("details").forEach((d) => { if (open.includes(d.dataset.text || d.dataset.key || 0)) d.open = true; });
    if (old) old.replaceWith(fresh.content); else document.getElementById("articles").append(fresh.content);
  }

  function follow(address) {
    const state = document.getElementById("state");
    const source = new EventSource(address);
    let busy = false, again = false;
    async function refresh() {
      if (busy) { again = true; return; }
      busy = true;
      try {
        const best = document.querySelector("article.best");
        const answer = await fetch(`changes?shown=${articles().length}&best=${best ? best.id.slice(1) : 0}`);
        const change = await answer.json();
        if (change.reload) { location.reload(); return; }
        put(`<div id="overview">${change.overview}</div>`, "overview");
        for (const [id, html] of change.articles) put(html, id);
      } finally { busy = false; }
      if (again) { again = false; await refresh(); }
    }
    source.addEventListener("journal", (event) => {
      state.textContent = "live: " + JSON.parse(event.data);
      refresh().catch(() => { state.textContent = "the server does not answer"; });
    });
    source.onopen = () => { state.textContent = "live"; };
    source.onerror = () => { state.textContent = "waiting for the server"; };
  }
  const live = document.body.dataset.live;
  if (live) follow(live);
})();
