"""Which English a page in Japanese still has."""

from __future__ import annotations

import re

SAME = {
    *("attnscope", "PNG", "NPZ", "JSON", "English", "Python", "Enter", "Delete", "Escape", "Shift"),
    *("cond", "uncond", "numpy", "load", "ember", "viridis", "magma", "cividis", "KL", "view"),
    *("GIF", "MP", "HTML", "ZIP", "zip", "trace", "px"),
    *("prompt", "to"),  # prompt-to-prompt
    *("Q", "K", "V", "P", "t", "h", "c", "p", "s"),  # letters of formulas, and keys
}
"""What Japanese writes in Latin letters too."""

TEXTS = """() => {
    const own = (element) => element.closest('[translate=no], [lang=en]') !== null;
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (node.nodeType === Node.TEXT_NODE) {
            const { parentElement } = node;
            if (!own(parentElement) && !parentElement.closest('script, style, noscript'))
                found.push(node.textContent);
        } else if (!own(node)) {
            for (const name of ['aria-label', 'title', 'placeholder', 'alt', 'aria-roledescription', 'aria-valuetext'])
                if (node.hasAttribute(name)) found.push(node.getAttribute(name));
        }
    }
    return found;
}"""


def english(page) -> set[str]:
    """Texts of the page with words that are neither Japanese nor written so in Japanese."""
    texts = [re.sub(r"block\.\d+\S*|down\S*\.\S+|\S+_blocks\.\S+", "", text) for text in page.evaluate(TEXTS)]
    return {text for text in texts if set(re.findall(r"[A-Za-z]+", text)) - SAME}
