// Objections of a data subject against a listed run; listens for `hengshu:run`, see subject-page.js.
