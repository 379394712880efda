"""Reading anybody's table: columns by name or map, and every way to be wrong named."""

import pytest

from fairfight.errors import TableError
from fairfight.verdict.tables.readers.long import Layout, read


@pytest.fixture
def table(tmp_path):
    """Give the table that a text holds."""

    def make(text, layout=Layout()):  # noqa: B008
        file = tmp_path / "scores.csv"
        file.write_text(text)
        return read(file, layout)

    return make


GOOD = "task,method,side,score\na,sae,dictionary,0.9\na,probe,baseline,0.8\n"


def test_columns_are_found_by_their_names(table):
    found = table(GOOD)
    assert (found.tasks, [method.name for method in found.methods]) == (("a",), ["sae", "probe"])
    assert found.validation is None
    assert not found.are_clusters_known


def test_columns_are_mapped_and_joined(table):
    text = "dataset,model,k,test_auc,kind\na,sae,16,0.9,x\na,sae,128,0.8,x\n"
    found = table(text, Layout({"method": "model+k"}, {"dictionary": ["sae *"]}))
    assert [(method.name, method.side) for method in found.methods] == [
        ("sae 16", "dictionary"),
        ("sae 128", "dictionary"),
    ]


@pytest.mark.parametrize(
    ("text", "layout", "words"),
    [
        ("task,method,scor\na,b,0.5\n", Layout(), "no column for the score.*Did you mean 'scor'"),
        (GOOD, Layout({"score": "auc"}), "no column 'auc'"),
        (GOOD, Layout({"skore": "score"}), "--map skore=.*Did you mean 'score'"),
        (GOOD.replace("0.9", "1.9"), Layout(), "line 2: the score is 1.9, but AUROC lies between 0 and 1"),
        (GOOD.replace("0.9", "-0.1"), Layout(), "line 2: the score is -0.1"),
        (GOOD.replace("0.9", "nan"), Layout(), "line 2: the score is NaN, which no mean may swallow"),
        (GOOD.replace("0.9", "good"), Layout(), "line 2: the score is 'good', which is no number"),
        (GOOD.replace("0.9", ""), Layout(), "line 2: the score is empty"),
        (GOOD.replace("a,sae", ",sae"), Layout(), "line 2: the task is empty"),
        (
            GOOD + "b,sae,baseline,0.7\n",
            Layout(),
            "line 4: sae stands on the side 'baseline', but on 'dictionary' above",
        ),
        (GOOD.replace("dictionary", "ours"), Layout(), "line 2: the side is 'ours'; expected dictionary"),
        (GOOD + "b,sae\n", Layout(), "line 4: 2 cells, but the header has 4"),
        ("", Layout(), "no column for the task, the method, the score"),
        ("task,method,score\n", Layout(), "holds no score"),
        (
            "task,method,side,score,metric\na,sae,dictionary,0.9,auroc\na,probe,baseline,0.8,f1\n",
            Layout(),
            "line 3: the metric is 'f1', but 'auroc' above. Scores of two metrics are two tables",
        ),
        (GOOD, Layout(metric="aroc"), "no metric 'aroc'.*Did you mean 'auroc'"),
        (
            "task,method,side,score,cluster\na,sae,dictionary,0.9,x\na,probe,baseline,0.8,y\n",
            Layout(),
            "task 'a' is of cluster 'y', but of 'x' above",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(table, text, layout, words):
    with pytest.raises(TableError, match=words):
        table(text, layout)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_bytes(b"task,method,score\n\xff\xfe,b,0.5\n")
    with pytest.raises(TableError, match="UTF-8"):
        read(file, Layout())


def test_a_rating_has_its_own_range(table):
    assert table(GOOD.replace("0.9", "1.9"), Layout(metric="rating")).metric.high == 2.0


def test_a_column_that_is_mapped_is_not_taken_for_its_name_again(table):
    text = "task,method,side,score,metric\na,sae,dictionary,0.9,auroc\na,sae,dictionary,0.8,f1\n"
    assert table(text, Layout({"condition": "metric"})).conditions == ("auroc", "f1")
