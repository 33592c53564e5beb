// What the server says when it refuses.

import { language } from "attnscope/lang";

/** A sentence of the server's: in English, whatever the page's language */
export class Refused extends Error {}

/** @param {unknown} error */
export const languageOfError = (error) => (error instanceof Refused ? "en" : language());
