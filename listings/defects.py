"""What a specification lacks, in the reader's language: the sentences of `listings.specifications` and `policies`."""

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SENTENCES = (
    _("name the applicant"),
    _("give a contact: name and telephone or mail address"),
    _("say in at most 400 characters what the product is, its form and its use"),
    _("name the industry by GB/T 4754, for example J66"),
    _("choose where the data comes from"),
    _("explain how the data was obtained, and on what basis"),
    _("choose the region's level"),
    _("choose how often it is updated"),
    _("name the class by industry and business attribute"),
    _("list what nobody may use it for"),
    _("choose how it is delivered"),
    _("list each right, its holder and its term"),
    _("give a meter unit and a price"),
    _("say what may leave a run: the schema and the smallest cell"),
    _("must be the applicant's unified social credit code"),
    _("say how many rows there are, about"),
    _("give the first and the last day the data is about"),
    _("must be SJ and thirteen digits"),
    _("public data is registered on the public-data platform first; give its code"),
    _("say what was collected from where, by which method, and that it was permitted"),
    _("name the approved path for data that leaves the mainland"),
    _("choose the legal basis for handling personal information (PIPL 13)"),
    _("say about how many persons the data is about"),
    _("say how the data is de-identified; de-identified is not anonymous"),
    _("give the SHA-256 of the consent template"),
    _("give date and digest of the impact assessment (PIPL 55)"),
    _("data of grade 2 and above is never delivered raw; add a way of computing on it"),
    _("list the operations that may run on it"),
    _("an API product brings its description and the result of its call test"),
    _("needs a unit and a whole price in fen"),
    _("the smallest cell must be at least 10"),
    _("list at least one column"),
    _("must be a lower-case name, different from the others"),
    _("say in Chinese what the column holds"),
    _("is missing"),
)


def in_words(what: str) -> str:
    """A defect in the language of the request; one that is not in the table stays as it was written."""
    return gettext(what) if what in SENTENCES else what
