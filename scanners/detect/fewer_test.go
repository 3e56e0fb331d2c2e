package detect

import "github.com/quellhq/quell/rules/testenv"

const fewer = testenv.Fewer
