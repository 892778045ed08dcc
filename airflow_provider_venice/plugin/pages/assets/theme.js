// Light or dark as Airflow's shell is. A classic script in the head, so that the first paint is right.
(function () {
  const root = document.documentElement;

  /** The <html> of the shell, or null where the page stands alone. */
  function shellRoot() {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null;
    }
  }

  const shell = shellRoot();
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  /** "dark" or "light". */
  function wanted() {
    if (shell) {
      if (shell.classList.contains("dark")) return "dark";
      if (shell.classList.contains("light")) return "light";
      const named = shell.getAttribute("data-theme") || shell.style.colorScheme;
      if (named === "dark" || named === "light") return named;
    }
    return system.matches ? "dark" : "light";
  }

  /** Take the ground and the text colour of the shell, which a theme of the deployment may have changed. */
  function takeColours() {
    if (!shell) return;
    const style = window.parent.getComputedStyle(shell);
    for (const [own, theirs] of [["--bg", "--chakra-colors-bg"], ["--fg", "--chakra-colors-fg"]]) {
      const value = style.getPropertyValue(theirs).trim();
      if (value && CSS.supports("color", value)) root.style.setProperty(own, value);
      else root.style.removeProperty(own);
    }
  }

  function apply() {
    root.dataset.theme = wanted();
    takeColours();
  }

  apply();
  system.addEventListener("change", apply);
  if (shell) {
    new MutationObserver(apply).observe(shell, {
      attributes: true,
      attributeFilter: ["class", "data-theme", "style"],
    });
  }
})();
