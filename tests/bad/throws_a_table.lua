-- expect: 2 "the script threw a table instead of a sentence"
error({})
